package adfeast.streaming;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.TreeSet;
import org.apache.flink.table.data.GenericRowData;
import org.junit.jupiter.api.Test;

/** The messages of tests/parity/event_vectors.py: this decoder says of each what the Python codec says. */
class EventVectorsTest {
    @Test
    void theVerdictOnEachMessageIsThatOfThePythonCodec() throws IOException {
        List<String> wrong = new ArrayList<>();
        TreeSet<String> verdicts = new TreeSet<>();
        EventDecoder decoder = null;
        String[] types = {};
        int plans = 0;
        for (String line : lines()) {
            String[] parts = line.split("\t", -1);
            if (parts[0].equals("plan")) {
                decoder = new EventDecoder(parts[1], parts[2], parts[3]);
                types = parts[1].split(",");
                plans++;
                continue;
            }
            String[] found = judge(decoder, types, HexFormat.of().parseHex(parts[3]), Long.parseLong(parts[1]));
            if (!found[0].equals(parts[2]) || !found[1].equals(parts[4])) {
                wrong.add(line + "\n  but: " + String.join(" ", found));
            }
            verdicts.add(parts[2]);
        }
        assertTrue(wrong.isEmpty(), () -> String.join("\n", wrong));
        assertEquals(2, plans);
        assertEquals(12, verdicts.size(), verdicts.toString());
    }

    private static String[] judge(EventDecoder decoder, String[] types, byte[] message, long written) {
        try {
            GenericRowData row = decoder.decode(message, written);
            if (message.length == 9 && message[0] == 0) {
                for (int i = 0; i < types.length; i++) {
                    if (!row.isNullAt(i)) {
                        return new String[] {"mark", "" + row.getTimestamp(i, 3).getMillisecond()};
                    }
                }
            }
            return new String[] {"event", HexFormat.of().formatHex(avro(row, types))};
        } catch (InvalidEvent bad) {
            return new String[] {bad.rule(), ""};
        }
    }

    private static List<String> lines() throws IOException {
        try (BufferedReader file =
                new BufferedReader(
                        new InputStreamReader(
                                EventVectorsTest.class.getResourceAsStream("/event_vectors.tsv"), StandardCharsets.UTF_8))) {
            return file.lines().toList();
        }
    }

    private static byte[] avro(GenericRowData row, String[] columns) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        for (int i = 0; i < columns.length; i++) {
            switch (columns[i].split("[:=]")[1]) {
                case "string" -> block(out, row.getString(i).toBytes());
                case "bytes" -> block(out, row.getBinary(i));
                case "int" -> varint(out, row.getInt(i));
                case "long" -> varint(out, row.getLong(i));
                case "timestamp-millis" -> varint(out, row.getTimestamp(i, 3).getMillisecond());
                case "boolean" -> out.write(row.getBoolean(i) ? 1 : 0);
                case "float" -> out.writeBytes(little(4).putFloat(row.getFloat(i)).array());
                case "double" -> out.writeBytes(little(8).putDouble(row.getDouble(i)).array());
                default -> {
                    int n = row.getArray(i).size();
                    if (n > 0) {
                        varint(out, n);
                    }
                    for (int k = 0; k < n; k++) {
                        block(out, row.getArray(i).getString(k).toBytes());
                    }
                    out.write(0);
                }
            }
        }
        return out.toByteArray();
    }

    private static ByteBuffer little(int bytes) {
        return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static void block(ByteArrayOutputStream out, byte[] bytes) {
        varint(out, bytes.length);
        out.writeBytes(bytes);
    }

    private static void varint(ByteArrayOutputStream out, long number) {
        for (long raw = (number << 1) ^ (number >> 63); ; raw >>>= 7) {
            if ((raw & ~0x7fL) == 0) {
                out.write((int) raw);
                return;
            }
            out.write((int) (raw & 0x7f) | 0x80);
        }
    }
}
