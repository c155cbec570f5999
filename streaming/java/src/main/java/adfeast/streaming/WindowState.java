package adfeast.streaming;

import java.util.Arrays;

/**
 * What is kept of one key: sums by tile, sessions, and what was emitted last. Every value depends on event times alone,
 * and the key's own time never goes back: a row that is emitted holds what a naive reading of the events in the order they
 * arrived gives for its time (docs/semantics.md). When one is emitted depends on the {@code clock}, which is the
 * watermark: at every change, or at most once in the spec's emission interval.
 *
 * <p>Flink keeps it as {@link Packed}: one array, because each field of a state costs memory and conversions of its own.
 */
final class WindowState {
    /** The state as Flink keeps it. */
    public static class Packed {
        /** Null for a key of which nothing is known: Flink keeps no state that is all null. */
        public long[] words;
    }

    private static final int HEADER = 7;

    /** The clock when there is no watermark yet. */
    static final long NEVER = Long.MIN_VALUE / 2;

    /** The key's time: the latest event or expiry seen; 0 before the first event. */
    long time;
    long lastEvent;
    /** The earliest timer that is registered, 0 when there is none. */
    long timer;
    /** The clock when values were emitted last. */
    long written = Long.MIN_VALUE;
    /** Starts of the tiles that hold events, ascending; the older ones may be longer. */
    long[] tiles = {};
    /** For each tile one sum a column. */
    double[] sums = {};
    /** For each session four numbers: feature, first event, last event, events; ascending by last event. */
    long[] sessions = {};
    double[] emitted = {};
    /** Ids of counted events while they are few, and the buckets that hold them otherwise; see {@link SeenIds}. */
    long[] ids = {};
    long[] buckets = {};

    static WindowState unpack(Packed packed) {
        WindowState state = new WindowState();
        long[] words = packed.words;
        if (words != null) {
            state.time = words[0];
            state.lastEvent = words[1];
            state.timer = words[2];
            state.written = words[3];
            int at = HEADER;
            state.tiles = Arrays.copyOfRange(words, at, at += (int) (words[4] >>> 32));
            state.sessions = Arrays.copyOfRange(words, at, at += (int) words[4]);
            state.ids = Arrays.copyOfRange(words, at, at += (int) (words[5] >>> 32));
            state.buckets = Arrays.copyOfRange(words, at, at += (int) words[5]);
            state.emitted = doubles(words, at, at += (int) words[6]);
            state.sums = doubles(words, at, words.length);
        }
        return state;
    }

    /** A new array each time: the one before may be in a checkpoint that is being written. */
    void pack(Packed packed) {
        int length = tiles.length + sessions.length + ids.length + buckets.length + emitted.length + sums.length;
        long[] words = new long[HEADER + length];
        words[0] = time;
        words[1] = lastEvent;
        words[2] = timer;
        words[3] = written;
        words[4] = (long) tiles.length << 32 | sessions.length;
        words[5] = (long) ids.length << 32 | buckets.length;
        words[6] = emitted.length;
        int at = HEADER;
        for (long[] part : new long[][] {tiles, sessions, ids, buckets}) {
            System.arraycopy(part, 0, words, at, part.length);
            at += part.length;
        }
        for (double[] part : new double[][] {emitted, sums}) {
            for (double value : part) {
                words[at++] = Double.doubleToRawLongBits(value);
            }
        }
        packed.words = words;
    }

    private static double[] doubles(long[] words, int from, int to) {
        double[] found = new double[to - from];
        for (int i = 0; i < found.length; i++) {
            found[i] = Double.longBitsToDouble(words[from + i]);
        }
        return found;
    }

    /** Takes the values of a key at a time. */
    interface Output {
        void emit(long time, double[] values);
    }

    /** Counts an event that is new and not late. */
    void add(WindowSpec spec, long event, double[] amounts, long clock, Output out) {
        begin(spec, clock, out);
        expire(spec, event - 1, clock, out);
        long before = time;
        time = Math.max(time, event);
        lastEvent = Math.max(lastEvent, event);
        if (spec.tile() > 0) {
            long start = Math.floorDiv(event, spec.tile()) * spec.tile();
            addToTile(spec, start, amounts);
            if (start != Math.floorDiv(before, spec.tile()) * spec.tile()) {
                forgetTiles(spec);
            }
        }
        for (int f = 0; f < spec.features(); f++) {
            if (spec.isSession(f)) {
                addToSession(f, event, spec.window()[f]);
            }
        }
        forgetSessions(spec);
        write(spec, clock, out);
    }

    /** Brings the values to the last time up to {@code until} at which one changes because events leave its window. */
    void expire(WindowSpec spec, long until, long clock, Output out) {
        long begin = time;
        for (long next = nextChange(spec); next <= until; next = nextChange(spec)) {
            time = next;
            if (spec.emit() == 0) {
                write(spec, clock, out);
            }
        }
        if (time > begin) {
            forgetTiles(spec);
            forgetSessions(spec);
        }
    }

    /** What a timer does: as much time has passed as the watermark says, and values that waited are written. */
    void wake(WindowSpec spec, long clock, Output out) {
        begin(spec, clock, out);
        expire(spec, clock, clock, out);
        write(spec, clock, out);
    }

    /** Whatever happened before, the first row holds the values at the time from which on they are written. */
    private void begin(WindowSpec spec, long clock, Output out) {
        if (spec.from() > 0 && emitted.length == 0 && lastEvent > 0 && isStarted(spec, clock)) {
            expire(spec, spec.from(), NEVER, out);
            time = Math.max(time, spec.from());
            write(spec, clock, out);
        }
    }

    /** When {@link #wake} must be called next, if no event comes before. */
    long wakeAt(WindowSpec spec, long clock) {
        if (!isStarted(spec, clock)) {
            return Math.min(spec.from(), end(spec));
        }
        long change = nextChange(spec);
        if (spec.emit() == 0) {
            return change < Long.MAX_VALUE ? change : end(spec);
        }
        long next = written + spec.emit();
        if (pending(spec)) {
            return next;
        }
        // All keys expire at the same ticks: spread over the interval, by a number that is the key's own.
        return Math.max(next, change < Long.MAX_VALUE ? change + lastEvent % spec.emit() : end(spec));
    }

    /** Whether nothing of the key matters any more, whatever may still come. */
    boolean isOver(WindowSpec spec, long clock) {
        return clock >= end(spec)
                && (!isStarted(spec, clock) || (!pending(spec) && written <= clock - spec.emit()));
    }

    /** Windows are empty then, and an id that comes again is late. */
    private long end(WindowSpec spec) {
        return lastEvent + spec.horizon() + 1;
    }

    private boolean pending(WindowSpec spec) {
        return !Arrays.equals(values(spec), emitted);
    }

    private static boolean isStarted(WindowSpec spec, long clock) {
        return spec.from() == 0 || clock >= spec.from();
    }

    private void write(WindowSpec spec, long clock, Output out) {
        if (!isStarted(spec, clock) || (spec.emit() > 0 && written > clock - spec.emit())) {
            return;
        }
        double[] values = values(spec);
        if (!Arrays.equals(values, emitted)) {
            emitted = values;
            written = clock;
            out.emit(time, values);
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

    double[] values(WindowSpec spec) {
        double[] values = new double[spec.features()];
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

    private void addToTile(WindowSpec spec, long start, double[] amounts) {
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

    /** Drops the tiles that no window covers any more, and joins those that only windows of longer slides cover. */
    private void forgetTiles(WindowSpec spec) {
        long from = Long.MAX_VALUE;
        long grain = spec.tile();
        for (int i = 0; i < spec.coarser().length; i++) {
            from = Math.min(from, spec.from(spec.coarser()[i], time));
            if (spec.grains()[i] > grain) {
                grain = spec.grains()[i];
                joinTiles(spec, firstTile(from), grain);
            }
        }
        int gone = tiles.length == 0 ? 0 : firstTile(from);
        if (gone > 0) {
            tiles = Arrays.copyOfRange(tiles, gone, tiles.length);
            sums = Arrays.copyOfRange(sums, gone * spec.columns(), sums.length);
        }
    }

    private void joinTiles(WindowSpec spec, int end, long grain) {
        int columns = spec.columns();
        int n = 0;
        for (int i = 0; i < end; i++) {
            long start = Math.floorDiv(tiles[i], grain) * grain;
            if (n > 0 && tiles[n - 1] == start) {
                for (int c = 0; c < columns; c++) {
                    sums[(n - 1) * columns + c] += sums[i * columns + c];
                }
            } else {
                tiles[n] = start;
                System.arraycopy(sums, i * columns, sums, n * columns, columns);
                n++;
            }
        }
        if (n < end) {
            int left = tiles.length - end;
            System.arraycopy(tiles, end, tiles, n, left);
            System.arraycopy(sums, end * columns, sums, n * columns, left * columns);
            tiles = Arrays.copyOf(tiles, n + left);
            sums = Arrays.copyOf(sums, (n + left) * columns);
        }
    }

    /** Drops the sessions that no event can touch that is still accepted. */
    private void forgetSessions(WindowSpec spec) {
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
