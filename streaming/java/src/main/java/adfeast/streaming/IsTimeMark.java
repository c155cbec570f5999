package adfeast.streaming;

import org.apache.flink.table.functions.ScalarFunction;

/**
 * {@code is_time_mark(message)}: whether a message has the form of a time mark. It is asked before the message is decoded,
 * because nearly all of them are events.
 */
public class IsTimeMark extends ScalarFunction {
    public boolean eval(byte[] message) {
        return message != null && message.length == EventDecoder.MARK_BYTES && message[0] == 0;
    }
}
