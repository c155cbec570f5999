package adfeast.streaming;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.TreeSet;

/** The state of one key with its timers, driven as SawtoothWindows and Flink drive it. */
final class WindowKey {
    /** What was written, after how many events, and the watermark then. */
    record Row(long time, List<Double> values, int counted, long clock) {}

    final List<Row> rows = new ArrayList<>();
    long clock = WindowState.NEVER;
    private final WindowSpec spec;
    private final TreeSet<Long> timers = new TreeSet<>();
    private WindowState state = new WindowState();
    private int counted;
    private long now = WindowState.NEVER;

    WindowKey(WindowSpec spec) {
        this.spec = spec;
    }

    void event(long time, double[] amounts) {
        counted++;
        state.add(spec, time, amounts, clock, this::take);
        setTimer(clock);
    }

    void watermark(long to) {
        while (!timers.isEmpty() && timers.first() <= to) {
            now = timers.pollFirst();
            if (state.timer == now) {
                state.timer = 0;
            }
            if (state.lastEvent == 0) {
                continue;
            }
            state.wake(spec, now, this::take);
            if (state.isOver(spec, now)) {
                state = new WindowState();
            } else {
                setTimer(now);
            }
        }
        clock = to;
        now = to;
    }

    boolean isOver() {
        return state.lastEvent == 0;
    }

    boolean isPending() {
        return state.lastEvent > 0 && !Arrays.equals(state.values(spec), state.emitted);
    }

    int lastCounted() {
        return rows.isEmpty() ? 0 : rows.get(rows.size() - 1).counted;
    }

    private void take(long time, double[] values) {
        rows.add(new Row(time, Arrays.stream(values).boxed().toList(), counted, now));
    }

    private void setTimer(long clock) {
        long next = state.wakeAt(spec, clock);
        if (state.timer == 0 || next < state.timer) {
            timers.add(next);
            state.timer = next;
        }
    }
}
