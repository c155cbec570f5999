package adfeast.streaming;

import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.functions.TableFunction;

/**
 * {@code LATERAL TABLE(watermark_keys(n))}: a zero byte and {@code 0/n}, {@code 1/n}, ... These keys take a time mark the way
 * of the values: through every subtask of the window function and every partition that it writes. The Redis writer learns
 * from them how many there are.
 */
@FunctionHint(output = @DataTypeHint(value = "STRING", bridgedTo = StringData.class))
public class WatermarkKeys extends TableFunction<StringData> {
    private transient StringData[] keys;

    public void eval(int count) {
        if (keys == null || keys.length != count) {
            keys = new StringData[count];
            for (int n = 0; n < count; n++) {
                keys[n] = StringData.fromString("\0" + n + "/" + count);
            }
        }
        for (StringData key : keys) {
            collect(key);
        }
    }
}
