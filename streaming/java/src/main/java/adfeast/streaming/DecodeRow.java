package adfeast.streaming;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.catalog.DataTypeFactory;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.functions.ScalarFunction;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.inference.InputTypeStrategies;
import org.apache.flink.table.types.inference.TypeInference;

/**
 * {@code decode_row(message BYTES, 'name:type,...', 'layout=name:type,...;layout=...')}: {@code event_timestamp} in
 * milliseconds and the named features of a feature topic's message as a ROW, or NULL when it is no row of values of a
 * known layout (a watermark row is none). A feature that the row has not, or has of another type, is NULL.
 */
public class DecodeRow extends ScalarFunction {
    private static final long YEAR_10000 = 253402300800000L;

    private transient Columns columns;
    private transient byte[] lastMessage;
    private transient RowData last;

    public RowData eval(byte[] message, String wanted, String layouts) {
        if (message == null) {
            return null;
        }
        // SQL calls the function once for every column it takes from the ROW: same array, same answer.
        if (message != lastMessage) {
            if (columns == null) {
                columns = Columns.parse(wanted, layouts);
            }
            last = columns.decode(message);
            lastMessage = message;
        }
        return last;
    }

    /**
     * @param wanted the features of the row, whose id has no meaning
     * @param source for each layout, for each wanted feature, where it stands, or -1
     */
    private record Columns(RowLayout wanted, RowLayout[] layouts, int[][] source) {
        static Columns parse(String wantedText, String layoutsText) {
            RowLayout wanted = RowLayout.parse("0".repeat(16), wantedText);
            RowLayout[] layouts =
                    Arrays.stream(layoutsText.split(";"))
                            .map(text -> text.split("=", 2))
                            .map(parts -> RowLayout.parse(parts[0], parts[1]))
                            .toArray(RowLayout[]::new);
            int[][] source = new int[layouts.length][wanted.names().length];
            for (int l = 0; l < layouts.length; l++) {
                List<String> names = List.of(layouts[l].names());
                for (int w = 0; w < source[l].length; w++) {
                    int at = names.indexOf(wanted.names()[w]);
                    source[l][w] = at >= 0 && layouts[l].integral()[at] == wanted.integral()[w] ? at : -1;
                }
            }
            return new Columns(wanted, layouts, source);
        }

        DataType rowType() {
            List<DataTypes.Field> fields = new ArrayList<>();
            fields.add(DataTypes.FIELD("event_timestamp", DataTypes.BIGINT()));
            for (int i = 0; i < wanted.names().length; i++) {
                DataType type = wanted.integral()[i] ? DataTypes.BIGINT() : DataTypes.DOUBLE();
                fields.add(DataTypes.FIELD(wanted.names()[i], type));
            }
            return DataTypes.ROW(fields.toArray(new DataTypes.Field[0])).nullable();
        }

        RowData decode(byte[] message) {
            for (int l = 0; l < layouts.length; l++) {
                if (layouts[l].matches(message)) {
                    return decode(message, source[l]);
                }
            }
            return null;
        }

        private RowData decode(byte[] message, int[] from) {
            long at = RowLayout.time(message);
            if (at <= 0 || at >= YEAR_10000) {
                return null;
            }
            GenericRowData row = new GenericRowData(1 + from.length);
            row.setField(0, at);
            for (int w = 0; w < from.length; w++) {
                if (from[w] >= 0) {
                    long bits = RowLayout.bits(message, from[w]);
                    row.setField(1 + w, wanted.integral()[w] ? (Object) bits : Double.longBitsToDouble(bits));
                }
            }
            return row;
        }
    }

    @Override
    public TypeInference getTypeInference(DataTypeFactory types) {
        return TypeInference.newBuilder()
                .inputTypeStrategy(
                        InputTypeStrategies.sequence(
                                InputTypeStrategies.explicit(DataTypes.BYTES()),
                                InputTypeStrategies.explicit(DataTypes.STRING().notNull()),
                                InputTypeStrategies.explicit(DataTypes.STRING().notNull())))
                .outputTypeStrategy(
                        call ->
                                Optional.of(
                                        Columns.parse(DecodeEvent.text(call, 1), DecodeEvent.text(call, 2))
                                                .rowType()
                                                .bridgedTo(RowData.class)))
                .build();
    }
}
