package adfeast.streaming;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HexFormat;
import java.util.List;

/**
 * What stands in the rows of a feature topic, and their bytes: those of adfeast/contract/rows.py, where they are described.
 *
 * @param id as a little-endian number, as it is written
 * @param names of the features, empty where only their types matter
 * @param integral for each feature whether it is BIGINT; else it is DOUBLE
 */
record RowLayout(long id, String[] names, boolean[] integral) {
    static final byte FORM = 1;
    static final int HEAD_BYTES = 17;
    private static final int LAYOUT = 1;
    private static final int TIME = 9;

    /** From an id in hex digits and {@code type,...} or {@code name:type,...}. */
    static RowLayout parse(String hex, String columns) {
        if (hex.length() != 16) {
            throw new IllegalArgumentException("a layout's id has 16 hex digits, got '" + hex + "'");
        }
        String[] parts = columns.split(",");
        String[] names = new String[parts.length];
        boolean[] integral = new boolean[parts.length];
        for (int i = 0; i < parts.length; i++) {
            int colon = parts[i].indexOf(':');
            names[i] = colon < 0 ? "" : parts[i].substring(0, colon);
            integral[i] = isIntegral(parts[i].substring(colon + 1));
        }
        long id = Long.reverseBytes(HexFormat.fromHexDigitsToLong(hex));
        return new RowLayout(id, names, integral);
    }

    private static boolean isIntegral(String type) {
        if (!List.of("BIGINT", "DOUBLE").contains(type)) {
            throw new IllegalArgumentException("a feature is BIGINT or DOUBLE, not '" + type + "'");
        }
        return type.equals("BIGINT");
    }

    /** First bytes of a row; a watermark row has no more. */
    ByteBuffer head(long atMs, int features) {
        ByteBuffer row = ByteBuffer.allocate(HEAD_BYTES + 8 * features).order(ByteOrder.LITTLE_ENDIAN);
        return row.put(FORM).putLong(id).putLong(atMs);
    }

    boolean matches(byte[] row) {
        return row.length == HEAD_BYTES + 8 * integral.length && row[0] == FORM && buffer(row).getLong(LAYOUT) == id;
    }

    static long time(byte[] row) {
        return buffer(row).getLong(TIME);
    }

    /** The number at a feature's place: a long, or the bits of a double. */
    static long bits(byte[] row, int feature) {
        return buffer(row).getLong(HEAD_BYTES + 8 * feature);
    }

    private static ByteBuffer buffer(byte[] row) {
        return ByteBuffer.wrap(row).order(ByteOrder.LITTLE_ENDIAN);
    }
}
