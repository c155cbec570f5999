package adfeast.streaming;

import java.io.Serializable;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.data.GenericArrayData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.types.DataType;

/**
 * Strict reader of one flat Avro record without header. Bytes that are not exactly one valid event give null instead of
 * an exception, because one bad message must not stop a job; the rules are those of adfeast.contract.events.EventCodec.check.
 *
 * <p>Columns are written {@code name:type,...}; types are Avro's primitives, {@code timestamp-millis} and
 * {@code array<string>}.
 *
 * <p>A time mark (adfeast streaming.marks) is a zero byte and a big-endian time of eight bytes: an event would begin so
 * only with an empty id, which no event has. It gives a row whose only column is the time.
 */
final class EventDecoder implements Serializable {
    private static final int MAX_ID_BYTES = 256;
    private static final long YEAR_10000 = 253402300800000L;
    private static final int MARK_BYTES = 9;

    private final String[] names;
    private final String[] types;

    EventDecoder(String columns) {
        String[] parts = columns.split(",");
        names = new String[parts.length];
        types = new String[parts.length];
        for (int i = 0; i < parts.length; i++) {
            String[] column = parts[i].split(":", 2);
            names[i] = column[0];
            types[i] = column[1];
        }
    }

    DataType rowType() {
        List<DataTypes.Field> fields = new ArrayList<>();
        for (int i = 0; i < names.length; i++) {
            fields.add(DataTypes.FIELD(names[i], sqlType(types[i])));
        }
        return DataTypes.ROW(fields.toArray(new DataTypes.Field[0])).nullable();
    }

    private static DataType sqlType(String type) {
        return switch (type) {
            case "string" -> DataTypes.STRING();
            case "int" -> DataTypes.INT();
            case "long" -> DataTypes.BIGINT();
            case "float" -> DataTypes.FLOAT();
            case "double" -> DataTypes.DOUBLE();
            case "boolean" -> DataTypes.BOOLEAN();
            case "bytes" -> DataTypes.BYTES();
            case "timestamp-millis" -> DataTypes.TIMESTAMP_LTZ(3);
            case "array<string>" -> DataTypes.ARRAY(DataTypes.STRING());
            default -> throw new IllegalArgumentException("an event column cannot be of type " + type);
        };
    }

    /** The event, or null when the bytes are not one or when it claims a time after {@code latest} (milliseconds). */
    GenericRowData decode(byte[] message, long latest) {
        ByteBuffer in = ByteBuffer.wrap(message).order(ByteOrder.LITTLE_ENDIAN);
        GenericRowData row = new GenericRowData(names.length);
        if (message.length == MARK_BYTES && message[0] == 0) {
            long time = ByteBuffer.wrap(message).getLong(1);
            row.setField(List.of(types).indexOf("timestamp-millis"), TimestampData.fromEpochMillis(time));
            return time > 0 && time <= latest ? row : null;
        }
        try {
            for (int i = 0; i < names.length; i++) {
                row.setField(i, read(in, names[i], types[i], latest));
            }
        } catch (InvalidEvent | java.nio.BufferUnderflowException | CharacterCodingException bad) {
            return null;
        }
        return in.hasRemaining() ? null : row;
    }

    private static Object read(ByteBuffer in, String name, String type, long latest)
            throws InvalidEvent, CharacterCodingException {
        switch (type) {
            case "string":
                byte[] text = bytes(in);
                require(!name.endsWith("_id") || (text.length > 0 && text.length <= MAX_ID_BYTES));
                return string(text);
            case "int":
                long number = varint(in);
                require(number == (int) number);
                return (int) number;
            case "long":
                return varint(in);
            case "float":
                return in.getFloat();
            case "double":
                return in.getDouble();
            case "boolean":
                byte flag = in.get();
                require(flag == 0 || flag == 1);
                return flag == 1;
            case "bytes":
                return bytes(in);
            case "timestamp-millis":
                long millis = varint(in);
                require(millis > 0 && millis < YEAR_10000 && millis <= latest);
                return TimestampData.fromEpochMillis(millis);
            default: // array<string>
                List<StringData> items = new ArrayList<>();
                for (long count = varint(in); count != 0; count = varint(in)) {
                    if (count < 0) { // Avro: a negative count is followed by the block's size in bytes
                        count = -count;
                        varint(in);
                    }
                    for (long i = 0; i < count; i++) {
                        items.add(string(bytes(in)));
                    }
                }
                return new GenericArrayData(items.toArray());
        }
    }

    private static StringData string(byte[] utf8) throws CharacterCodingException {
        StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(utf8));
        return StringData.fromBytes(utf8);
    }

    private static byte[] bytes(ByteBuffer in) throws InvalidEvent {
        long length = varint(in);
        require(length >= 0 && length <= in.remaining()); // before the allocation: garbage claims gigabytes
        byte[] found = new byte[(int) length];
        in.get(found);
        return found;
    }

    private static long varint(ByteBuffer in) throws InvalidEvent {
        long raw = 0;
        for (int shift = 0; shift < 64; shift += 7) {
            byte next = in.get();
            raw |= (long) (next & 0x7f) << shift;
            if (next >= 0) {
                return (raw >>> 1) ^ -(raw & 1);
            }
        }
        throw new InvalidEvent();
    }

    private static void require(boolean valid) throws InvalidEvent {
        if (!valid) {
            throw new InvalidEvent();
        }
    }

    private static final class InvalidEvent extends Exception {
        InvalidEvent() {
            super("not an event", null, false, false);
        }
    }
}
