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
 * {@code decode_event(message BYTES, written TIMESTAMP_LTZ(3), 'columns', 'writers', 'rules')}: the event in a message as a
 * ROW, or NULL when it is not one, because one bad message must not stop a job; the texts are those of {@link
 * EventDecoder}.
 */
public class DecodeEvent extends ScalarFunction {
    private transient EventDecoder decoder;
    private transient byte[] lastMessage;
    private transient RowData last;

    public RowData eval(byte[] message, TimestampData written, String columns, String writers, String rules) {
        if (message == null) {
            return null;
        }
        // SQL calls the function once for every column it takes from the ROW: same array, same answer.
        if (message != lastMessage) {
            if (decoder == null) {
                decoder = new EventDecoder(columns, writers, rules);
            }
            try {
                last = decoder.decode(message, written.getMillisecond());
            } catch (InvalidEvent bad) {
                last = null; // why is asked of EventProblem, for the dead letter
            }
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
                                InputTypeStrategies.explicit(DataTypes.STRING().notNull()),
                                InputTypeStrategies.explicit(DataTypes.STRING().notNull())))
                .outputTypeStrategy(
                        call ->
                                Optional.of(
                                        new EventDecoder(text(call, 2), text(call, 3), text(call, 4))
                                                .rowType()
                                                .bridgedTo(RowData.class)))
                .build();
    }

    /** An argument that is a constant. */
    static String text(CallContext call, int argument) {
        return call.getArgumentValue(argument, String.class).orElseThrow();
    }
}
