package adfeast.streaming;

import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.functions.ScalarFunction;

/**
 * {@code event_problem(...)}, with the arguments of {@link DecodeEvent}: which rule a message breaks and how, written
 * {@code rule: problem}; NULL for an event.
 */
public class EventProblem extends ScalarFunction {
    private transient EventDecoder decoder;

    @DataTypeHint("STRING")
    public String eval(
            byte[] message,
            @DataTypeHint(value = "TIMESTAMP_LTZ(3)", bridgedTo = TimestampData.class) TimestampData written,
            String columns,
            String writers,
            String rules) {
        if (message == null) {
            return "frame: the message is empty";
        }
        if (decoder == null) {
            decoder = new EventDecoder(columns, writers, rules);
        }
        try {
            decoder.decode(message, written.getMillisecond());
            return null;
        } catch (InvalidEvent bad) {
            return bad.rule() + ": " + bad.getMessage();
        }
    }
}
