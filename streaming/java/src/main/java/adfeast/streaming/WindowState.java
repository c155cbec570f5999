package adfeast.streaming;

import java.util.Arrays;
import java.util.function.BiConsumer;

/**
 * What is kept of one key: sums by tile, sessions, and what was emitted last. Everything depends on event times alone, and
 * the key's own time never goes back: the values emitted are those of a naive reading of the events in the order they
 * arrived (docs/semantics.md), whatever the watermark does between them.
 *
 * <p>Public fields and arrays of primitives, because Flink keeps it as a structured type.
 */
public class WindowState {
    /** The key's time: the latest event or expiry seen; 0 before the first event. */
    public long time;
    public long lastEvent;
    public long purged;
    public long timer;
    /** Starts of the tiles that hold events, ascending. */
    public long[] tiles = {};
    /** For each tile one sum a column. */
    public double[] sums = {};
    /** For each session four numbers: feature, first event, last event, events; ascending by last event. */
    public long[] sessions = {};
    public double[] emitted = {};

    /** Counts an event that is new and not late. */
    void add(WindowSpec spec, long event, Double[] amounts, BiConsumer<Long, Double[]> emit) {
        expire(spec, event - 1, emit);
        time = Math.max(time, event);
        lastEvent = Math.max(lastEvent, event);
        if (spec.tile() > 0) {
            addToTile(spec, Math.floorDiv(event, spec.tile()) * spec.tile(), amounts);
        }
        for (int f = 0; f < spec.features(); f++) {
            if (spec.isSession(f)) {
                addToSession(f, event, spec.window()[f]);
            }
        }
        forget(spec);
        emitIfChanged(spec, emit);
    }

    /** Emits the values at every time up to {@code until} at which one changes because events leave its window. */
    void expire(WindowSpec spec, long until, BiConsumer<Long, Double[]> emit) {
        for (long next = nextChange(spec); next <= until; next = nextChange(spec)) {
            time = next;
            forget(spec);
            emitIfChanged(spec, emit);
        }
    }

    /** The next time at which an event leaves a window, Long.MAX_VALUE when none is left in any. */
    long nextChange(WindowSpec spec) {
        long next = Long.MAX_VALUE;
        for (int f = 0; f < spec.features(); f++) {
            if (spec.isSession(f)) {
                int last = lastSession(f);
                if (last >= 0 && time - sessions[last + 2] <= spec.window()[f]) {
                    next = Math.min(next, sessions[last + 2] + spec.window()[f] + 1);
                }
            } else {
                int first = firstTile(spec.from(f, time));
                if (first < tiles.length) {
                    next = Math.min(next, spec.leaves(f, tiles[first]));
                }
            }
        }
        return next;
    }

    Double[] values(WindowSpec spec) {
        Double[] values = new Double[spec.features()];
        for (int f = 0; f < values.length; f++) {
            double value = 0;
            if (spec.isSession(f)) {
                int last = lastSession(f);
                value = last >= 0 && time - sessions[last + 2] <= spec.window()[f] ? sessions[last + 3] : 0;
            } else {
                for (int i = firstTile(spec.from(f, time)); i < tiles.length; i++) {
                    value += sums[i * spec.columns() + spec.column()[f]];
                }
            }
            values[f] = value;
        }
        return values;
    }

    private void emitIfChanged(WindowSpec spec, BiConsumer<Long, Double[]> emit) {
        Double[] values = values(spec);
        double[] plain = Arrays.stream(values).mapToDouble(Double::doubleValue).toArray();
        if (!Arrays.equals(plain, emitted)) {
            emitted = plain;
            emit.accept(time, values);
        }
    }

    private void addToTile(WindowSpec spec, long start, Double[] amounts) {
        int columns = spec.columns();
        int i = firstTile(start);
        if (i == tiles.length || tiles[i] != start) {
            tiles = insert(tiles, i, 1);
            double[] wider = new double[sums.length + columns];
            System.arraycopy(sums, 0, wider, 0, i * columns);
            System.arraycopy(sums, i * columns, wider, (i + 1) * columns, sums.length - i * columns);
            sums = wider;
            tiles[i] = start;
        }
        for (int c = 0; c < columns; c++) {
            sums[i * columns + c] += amounts[c];
        }
    }

    /** Joins the event with every session of the feature that it touches; an event out of order can join two. */
    private void addToSession(int feature, long event, long gap) {
        long[] kept = new long[sessions.length + 4];
        long first = event;
        long last = event;
        long events = 1;
        int n = 0;
        for (int i = 0; i < sessions.length; i += 4) {
            if (sessions[i] == feature && sessions[i + 1] - gap <= event && event <= sessions[i + 2] + gap) {
                first = Math.min(first, sessions[i + 1]);
                last = Math.max(last, sessions[i + 2]);
                events += sessions[i + 3];
            } else {
                System.arraycopy(sessions, i, kept, n, 4);
                n += 4;
            }
        }
        int at = n;
        while (at > 0 && kept[at - 2] > last) {
            at -= 4;
        }
        System.arraycopy(kept, at, kept, at + 4, n - at);
        kept[at] = feature;
        kept[at + 1] = first;
        kept[at + 2] = last;
        kept[at + 3] = events;
        sessions = Arrays.copyOf(kept, n + 4);
    }

    /** Drops what no window covers any more and no event that is still accepted can touch. */
    private void forget(WindowSpec spec) {
        if (spec.tile() > 0) {
            long from = Long.MAX_VALUE;
            for (int f = 0; f < spec.features(); f++) {
                from = spec.isSession(f) ? from : Math.min(from, spec.from(f, time));
            }
            int gone = firstTile(from);
            if (gone > 0) {
                tiles = Arrays.copyOfRange(tiles, gone, tiles.length);
                sums = Arrays.copyOfRange(sums, gone * spec.columns(), sums.length);
            }
        }
        int n = 0;
        for (int i = 0; i < sessions.length; i += 4) {
            if (sessions[i + 2] + spec.window()[(int) sessions[i]] > time - spec.horizon()) {
                System.arraycopy(sessions, i, sessions, n, 4);
                n += 4;
            }
        }
        if (n < sessions.length) {
            sessions = Arrays.copyOf(sessions, n);
        }
    }

    private int firstTile(long from) {
        int i = Arrays.binarySearch(tiles, from);
        return i >= 0 ? i : -i - 1;
    }

    private int lastSession(int feature) {
        for (int i = sessions.length - 4; i >= 0; i -= 4) {
            if (sessions[i] == feature) {
                return i;
            }
        }
        return -1;
    }

    private static long[] insert(long[] from, int at, int width) {
        long[] wider = new long[from.length + width];
        System.arraycopy(from, 0, wider, 0, at);
        System.arraycopy(from, at, wider, at + width, from.length - at);
        return wider;
    }
}
