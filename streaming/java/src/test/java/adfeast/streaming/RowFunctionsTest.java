package adfeast.streaming;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HexFormat;
import org.apache.flink.table.data.GenericArrayData;
import org.apache.flink.table.data.RowData;
import org.junit.jupiter.api.Test;

/** The bytes are those of tests/unit/adfeast/contract/test_rows.py. */
class RowFunctionsTest {
    private static final String ID = "5f519396065d9940";
    private static final String TYPES = "DOUBLE,BIGINT";
    private static final String ROW = "015f519396065d99407b6183976e010000000000000000f83ffdffffffffffffff";
    private static final String MARK = "015f519396065d99407b6183976e010000";
    private static final long AT = 1_574_500_000_123L;
    private static final String OWN = ID + "=spent:DOUBLE,visit:BIGINT";

    private static byte[] bytes(String hex) {
        return HexFormat.of().parseHex(hex);
    }

    private static byte[] encode(String id, String types, double... amounts) {
        return new EncodeRow().eval(id, AT, new GenericArrayData(amounts), types);
    }

    @Test
    void aRowHasTheBytesThatPythonReads() {
        assertArrayEquals(bytes(ROW), encode(ID, TYPES, 1.5, -3));
    }

    @Test
    void aRowWithoutAmountsIsAWatermarkRow() {
        assertArrayEquals(bytes(MARK), new EncodeRow().eval(ID, AT, null, TYPES));
        assertNull(new DecodeRow().eval(bytes(MARK), "spent:DOUBLE", OWN));
    }

    @Test
    void oneFunctionEncodesRowsOfSeveralLayouts() {
        EncodeRow function = new EncodeRow();
        function.eval(ID, AT, new GenericArrayData(new double[] {1.5, -3}), TYPES);
        byte[] other = function.eval("00000000000000ff", AT, new GenericArrayData(new double[] {7}), "BIGINT");
        assertArrayEquals(encode("00000000000000ff", "BIGINT", 7), other);
        assertArrayEquals(bytes(ROW), function.eval(ID, AT, new GenericArrayData(new double[] {1.5, -3}), TYPES));
    }

    @Test
    void anotherNumberOfAmountsIsAnError() {
        assertThrows(IllegalArgumentException.class, () -> encode(ID, TYPES, 1.5));
    }

    @Test
    void whatALayoutHasNotIsNull() {
        String layouts = "00000000000000ff=visit:BIGINT;" + OWN;
        String wanted = "added:BIGINT,spent:DOUBLE,visit:BIGINT";
        RowData now = new DecodeRow().eval(bytes(ROW), wanted, layouts);
        assertEquals(AT, now.getLong(0));
        assertTrue(now.isNullAt(1));
        assertEquals(1.5, now.getDouble(2));
        assertEquals(-3, now.getLong(3));
        RowData older = new DecodeRow().eval(encode("00000000000000ff", "BIGINT", 7), wanted, layouts);
        assertTrue(older.isNullAt(1) && older.isNullAt(2));
        assertEquals(7, older.getLong(3));
    }

    @Test
    void aFeatureOfAnotherTypeIsNull() {
        RowData row = new DecodeRow().eval(bytes(ROW), "spent:BIGINT,visit:BIGINT", OWN);
        assertTrue(row.isNullAt(1));
        assertEquals(-3, row.getLong(2));
    }

    @Test
    void whatIsNoRowIsNull() {
        String wanted = "spent:DOUBLE,visit:BIGINT";
        byte[] otherForm = bytes(ROW);
        otherForm[0] = 2;
        byte[] noTime = new EncodeRow().eval(ID, 0L, new GenericArrayData(new double[] {1, 2}), TYPES);
        byte[][] bad = {
            new byte[0], bytes("7b7d"), bytes(ROW + "00"), bytes(ROW.substring(2)), otherForm, noTime,
            encode("00000000000000ff", TYPES, 1, 2),
        };
        for (byte[] message : bad) {
            assertNull(new DecodeRow().eval(message, wanted, OWN), HexFormat.of().formatHex(message));
        }
        assertNull(new DecodeRow().eval(null, wanted, OWN));
    }

    @Test
    void notANumberIsKept() {
        RowData row = new DecodeRow().eval(encode(ID, TYPES, Double.NaN, 2), "spent:DOUBLE,visit:BIGINT", OWN);
        assertTrue(Double.isNaN(row.getDouble(1)));
    }
}
