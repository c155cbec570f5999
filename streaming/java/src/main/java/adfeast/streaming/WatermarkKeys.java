package adfeast.streaming;

import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.functions.TableFunction;

/**
 * {@code LATERAL TABLE(watermark_keys(n))}: a zero byte and each number below n. These keys take a time mark the way of the
 * values: through every subtask of the window function and every partition that it writes.
 */
@FunctionHint(output = @DataTypeHint(value = "STRING", bridgedTo = StringData.class))
public class WatermarkKeys extends TableFunction<StringData> {
    private transient StringData[] keys;

    public void eval(int count) {
        if (keys == null || keys.length != count) {
            keys = new StringData[count];
            for (int n = 0; n < count; n++) {
                keys[n] = StringData.fromString("\0" + n);
            }
        }
        for (StringData key : keys) {
            collect(key);
        }
    }
}
