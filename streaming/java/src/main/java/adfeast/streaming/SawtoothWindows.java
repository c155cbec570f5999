package adfeast.streaming;

import java.util.Iterator;
import java.util.Map;
import java.util.function.BiConsumer;
import org.apache.flink.table.annotation.ArgumentHint;
import org.apache.flink.table.annotation.ArgumentTrait;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.annotation.StateHint;
import org.apache.flink.table.api.dataview.MapView;
import org.apache.flink.table.functions.ProcessTableFunction;
import org.apache.flink.types.Row;

/**
 * {@code sawtooth_windows(events => TABLE e PARTITION BY entity_key, spec => '...', on_time => DESCRIPTOR(ts))}: all
 * features of one view in one pass. A row comes out when a value changes, at an event or when events leave a window; a
 * late event comes out as a row with {@code late}. Rows without {@code event_id} are time marks: they move the watermark.
 */
@FunctionHint(output = @DataTypeHint("ROW<late BOOLEAN, event_id STRING, at_ms BIGINT, amounts ARRAY<DOUBLE>>"))
public class SawtoothWindows extends ProcessTableFunction<Row> {
    private transient String specText;
    private transient WindowSpec spec;

    public void eval(
            Context ctx,
            @StateHint WindowState state,
            @StateHint MapView<String, Long> seen,
            @ArgumentHint({ArgumentTrait.SET_SEMANTIC_TABLE, ArgumentTrait.REQUIRE_ON_TIME}) Row events,
            String spec)
            throws Exception {
        String id = events.getFieldAs("event_id");
        if (id == null) {
            return;
        }
        WindowSpec windows = parsed(spec);
        TimeContext<Long> clock = ctx.timeContext(Long.class);
        long event = clock.time();
        Long watermark = clock.currentWatermark();
        Long first = seen.get(id);
        if (first != null && first + windows.horizon() > Math.max(state.time, event)) {
            return;
        }
        // The second bound holds while there is no watermark yet, as after a restart.
        if ((watermark != null && event <= watermark) || event <= state.time - windows.horizon()) {
            collect(Row.of(true, id, event, null));
            return;
        }
        seen.put(id, event);
        state.add(windows, event, events.getFieldAs("amounts"), emitter());
        if (state.lastEvent - state.purged > windows.horizon() / 4) {
            purge(state, seen, windows);
        }
        setTimer(clock, state, windows, spec);
    }

    /** The timer bears the spec as its name, because a timer sees no arguments of the call. */
    public void onTimer(OnTimerContext ctx, WindowState state, MapView<String, Long> seen) throws Exception {
        WindowSpec windows = parsed(ctx.currentTimer());
        TimeContext<Long> clock = ctx.timeContext(Long.class);
        state.expire(windows, clock.time(), emitter());
        if (state.nextChange(windows) == Long.MAX_VALUE && clock.time() >= state.lastEvent + windows.horizon()) {
            ctx.clearAllState();
            return;
        }
        state.timer = 0;
        setTimer(clock, state, windows, ctx.currentTimer());
    }

    private void setTimer(TimeContext<Long> clock, WindowState state, WindowSpec windows, String spec) {
        long change = state.nextChange(windows);
        // When nothing is left to expire the ids are still needed, until no duplicate could be told from a new event.
        long next = change == Long.MAX_VALUE ? state.lastEvent + windows.horizon() : change;
        if (next != state.timer) {
            clock.registerOnTime(spec, next);
            state.timer = next;
        }
    }

    /** Amortized: a quarter of the horizon lies between two passes over the ids. */
    private static void purge(WindowState state, MapView<String, Long> seen, WindowSpec windows) throws Exception {
        for (Iterator<Map.Entry<String, Long>> ids = seen.iterator(); ids.hasNext(); ) {
            if (ids.next().getValue() + windows.horizon() <= state.time) {
                ids.remove();
            }
        }
        state.purged = state.lastEvent;
    }

    private BiConsumer<Long, Double[]> emitter() {
        return (time, amounts) -> collect(Row.of(false, null, time, amounts));
    }

    private WindowSpec parsed(String text) {
        if (!text.equals(specText)) {
            specText = text;
            spec = WindowSpec.parse(text);
        }
        return spec;
    }
}
