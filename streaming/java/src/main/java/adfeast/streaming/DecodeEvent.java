package adfeast.streaming;

import java.util.Optional;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.catalog.DataTypeFactory;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.functions.ScalarFunction;
import org.apache.flink.table.types.inference.CallContext;
import org.apache.flink.table.types.inference.InputTypeStrategies;
import org.apache.flink.table.types.inference.TypeInference;

/**
 * {@code decode_event(message BYTES, written TIMESTAMP_LTZ(3), 'columns', 'writers')}: the event in a message as a ROW, or
 * NULL when it is not one; the texts are those of {@link EventDecoder}. A time more than a minute after Kafka wrote the message is refused too: it would push the watermark
 * forward and make every later event late.
 */
public class DecodeEvent extends ScalarFunction {
    private static final long AHEAD_MS = 60_000;

    private transient EventDecoder decoder;
    private transient byte[] lastMessage;
    private transient RowData last;

    public RowData eval(byte[] message, TimestampData written, String columns, String writers) {
        if (message == null) {
            return null;
        }
        // SQL calls the function once for every column it takes from the ROW: same array, same answer.
        if (message != lastMessage) {
            if (decoder == null) {
                decoder = new EventDecoder(columns, writers);
            }
            last = decoder.decode(message, written.getMillisecond() + AHEAD_MS);
            lastMessage = message;
        }
        return last;
    }

    @Override
    public TypeInference getTypeInference(DataTypeFactory types) {
        return TypeInference.newBuilder()
                .inputTypeStrategy(
                        InputTypeStrategies.sequence(
                                InputTypeStrategies.explicit(DataTypes.BYTES()),
                                InputTypeStrategies.explicit(DataTypes.TIMESTAMP_LTZ(3).bridgedTo(TimestampData.class)),
                                InputTypeStrategies.explicit(DataTypes.STRING().notNull()),
                                InputTypeStrategies.explicit(DataTypes.STRING().notNull())))
                .outputTypeStrategy(
                        call ->
                                Optional.of(
                                        new EventDecoder(text(call, 2), text(call, 3))
                                                .rowType()
                                                .bridgedTo(RowData.class)))
                .build();
    }

    private static String text(CallContext call, int argument) {
        return call.getArgumentValue(argument, String.class).orElseThrow();
    }
}
