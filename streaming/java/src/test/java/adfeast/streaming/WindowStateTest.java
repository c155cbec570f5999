package adfeast.streaming;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Small windows over few milliseconds, so that a twin can look at every single one: what WindowState emits for thousands
 * of generated streams is what docs/semantics.md says, whenever the watermark lets it expire.
 */
class WindowStateTest {
    private static final int STREAMS = 5_000;

    private record Event(long time, double[] amounts) {}

    private record Row(long time, List<Double> values) {
        Row(long time, double[] values) {
            this(time, Arrays.stream(values).boxed().toList());
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4})
    void everyValueAtEveryChange(long seed) {
        for (int stream = 0; stream < STREAMS; stream++) {
            Random dice = new Random(seed * STREAMS + stream);
            WindowSpec spec = spec(dice);
            List<Event> arrivals = arrivals(dice, spec);
            long end = arrivals.stream().mapToLong(Event::time).max().orElseThrow() + 3 * spec.horizon();
            List<Row> expected = twin(spec, arrivals, end);
            String told = "stream " + stream + ", " + spec;
            assertEquals(expected, emitted(spec, arrivals, end, null), told);
            assertEquals(expected, emitted(spec, arrivals, end, dice), told + ", expiring in between");
        }
    }

    /**
     * Whatever the emission interval and the watermarks: a row holds what the twin says for its time and the events counted
     * until then, rows keep their distance, an event is in them when the watermark has passed it by the interval, and the
     * last row is that of every change.
     */
    @ParameterizedTest
    @ValueSource(longs = {6, 7, 8, 9})
    void coalescedRowsHoldTheValuesAtTheirTime(long seed) {
        for (int stream = 0; stream < STREAMS; stream++) {
            Random dice = new Random(seed * STREAMS + stream);
            String features = text(dice);
            long emit = dice.nextInt(3) == 0 ? 0 : 1 + dice.nextInt(30);
            List<Event> arrivals = arrivals(dice, WindowSpec.parse(features));
            long from = dice.nextInt(2) == 0 ? 0 : arrivals.get(dice.nextInt(arrivals.size())).time + dice.nextInt(50);
            WindowSpec spec = WindowSpec.parse(features + ";emit=" + emit + ";from=" + from);
            long end = arrivals.stream().mapToLong(Event::time).max().orElseThrow() + 4 * spec.horizon() + 100;
            String told = "stream " + stream + ", " + features + ";emit=" + emit + ";from=" + from;
            WindowKey key = new WindowKey(spec);
            for (int i = 0; i < arrivals.size(); i++) {
                key.event(arrivals.get(i).time, arrivals.get(i).amounts);
                long next = arrivals.stream().skip(i + 1).mapToLong(Event::time).min().orElse(end);
                if (dice.nextBoolean() && next - 1 > key.clock) {
                    key.watermark(Math.max(key.clock, next - 1 - dice.nextInt(3)));
                    long complete = key.clock - emit;
                    long counted = IntStream.rangeClosed(0, i).filter(e -> arrivals.get(e).time <= complete).max().orElse(-1);
                    boolean written = key.clock < from || key.lastCounted() > counted || !key.isPending();
                    assertTrue(written, told + ": values wait at watermark " + key.clock);
                }
            }
            key.watermark(end);
            long before = Long.MIN_VALUE;
            for (WindowKey.Row row : key.rows) {
                assertEquals(at(spec, arrivals.subList(0, row.counted()), row.time()), row.values(), told);
                assertTrue(row.time() >= from, told + row);
                assertTrue(row.clock() >= before + emit && (from == 0 || row.clock() >= from), told + row);
                before = row.clock();
            }
            List<Row> every = twin(spec, arrivals, end);
            Row last = every.get(every.size() - 1);
            if (from <= arrivals.get(arrivals.size() - 1).time) {
                assertEquals(last.values, key.rows.get(key.rows.size() - 1).values(), told);
            }
            assertTrue(key.isOver(), told);
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {5})
    void stateIsBoundedByTheWindows(long seed) {
        Random dice = new Random(seed);
        WindowSpec spec = WindowSpec.parse("0-40-4_1-80-8_0-10-0");
        WindowState state = new WindowState();
        for (long time = 1_000; time < 200_000; time += dice.nextInt(4)) {
            state.add(spec, time, new double[] {1.0, 2.0}, time - 1, (at, values) -> {});
            // Tiles of 4 while the first window covers them, of 8 as long as only the second does.
            assertTrue(state.tiles.length <= 40 / 4 + 1 + 40 / 8 + 1, "tiles: " + state.tiles.length);
            assertTrue(state.sessions.length <= 4 * 80, "sessions: " + state.sessions.length);
        }
        state.wake(spec, 1_000_000, (at, values) -> {});
        assertEquals(0, state.tiles.length);
        assertTrue(Arrays.stream(state.emitted).allMatch(value -> value == 0));
    }

    /** Else all keys of a view were written in the same moment, again and again. */
    @Test
    void keysThatChangeAtOneTickAreWokenAllOverTheInterval() {
        WindowSpec spec = WindowSpec.parse("0-1000-100;emit=500");
        Set<Long> ticks = new HashSet<>();
        Set<Long> woken = new HashSet<>();
        for (long event = 10_000; event < 10_100; event++) {
            WindowState state = new WindowState();
            state.add(spec, event, new double[] {1.0}, event, (at, values) -> {});
            long tick = state.nextChange(spec);
            long wake = state.wakeAt(spec, event);
            assertTrue(tick <= wake && wake < tick + 500, "a change at " + tick + " is written at " + wake);
            ticks.add(tick);
            woken.add(wake);
        }
        assertEquals(1, ticks.size());
        assertEquals(100, woken.size());
    }

    private static List<Row> emitted(WindowSpec spec, List<Event> arrivals, long end, Random expiring) {
        List<Row> rows = new ArrayList<>();
        WindowState state = new WindowState();
        for (int i = 0; i < arrivals.size(); i++) {
            Event event = arrivals.get(i);
            state.add(spec, event.time, event.amounts, 0, (at, values) -> rows.add(new Row(at, values)));
            if (expiring != null && expiring.nextBoolean()) {
                // A watermark lies before every event that is still to come and is not late.
                long next = arrivals.stream().skip(i + 1).mapToLong(Event::time).min().orElse(end);
                state.wake(spec, next - 1, (at, values) -> rows.add(new Row(at, values)));
            }
        }
        state.wake(spec, end, (at, values) -> rows.add(new Row(at, values)));
        return rows;
    }

    /** Looks at every millisecond. */
    private static List<Row> twin(WindowSpec spec, List<Event> arrivals, long end) {
        List<Row> rows = new ArrayList<>();
        List<Event> known = new ArrayList<>();
        long now = arrivals.get(0).time;
        for (Event event : arrivals) {
            now = passTime(spec, known, now, event.time - 1, rows);
            known.add(event);
            now = Math.max(now, event.time);
            emit(spec, known, now, rows);
        }
        passTime(spec, known, now, end, rows);
        return rows;
    }

    private static long passTime(WindowSpec spec, List<Event> known, long now, long to, List<Row> rows) {
        for (long t = now + 1; t <= to; t++) {
            emit(spec, known, t, rows);
        }
        return Math.max(now, to);
    }

    private static List<Double> at(WindowSpec spec, List<Event> counted, long t) {
        List<Event> known = counted.stream().filter(e -> e.time <= t).toList();
        List<Double> values = new ArrayList<>();
        for (int f = 0; f < spec.features(); f++) {
            values.add(spec.isSession(f) ? session(spec.window()[f], known, t) : window(spec, f, known, t));
        }
        return values;
    }

    private static void emit(WindowSpec spec, List<Event> known, long t, List<Row> rows) {
        List<Double> values = at(spec, known, t);
        if (!known.isEmpty() && (rows.isEmpty() || !rows.get(rows.size() - 1).values.equals(values))) {
            rows.add(new Row(t, values));
        }
    }

    private static double window(WindowSpec spec, int feature, List<Event> known, long t) {
        long slide = spec.slide()[feature];
        long first = (t / slide - spec.window()[feature] / slide + 1) * slide;
        return known.stream()
                .filter(e -> first <= e.time && e.time <= t)
                .mapToDouble(e -> e.amounts[spec.column()[feature]])
                .sum();
    }

    private static double session(long gap, List<Event> known, long t) {
        long later = t;
        double events = 0;
        for (Event event : known.stream().sorted(Comparator.comparingLong(Event::time).reversed()).toList()) {
            if (later - event.time > gap) {
                break;
            }
            later = event.time;
            events++;
        }
        return events;
    }

    private static WindowSpec spec(Random dice) {
        return WindowSpec.parse(text(dice));
    }

    private static String text(Random dice) {
        List<String> features = new ArrayList<>();
        for (int f = 0; f <= dice.nextInt(4); f++) {
            int slide = dice.nextInt(4) == 0 ? 0 : 1 + dice.nextInt(6);
            int window = slide == 0 ? 1 + dice.nextInt(25) : slide * (1 + dice.nextInt(6));
            features.add((slide == 0 ? 0 : dice.nextInt(3)) + "-" + window + "-" + slide);
        }
        return String.join("_", features);
    }

    /** Bursts, pauses longer than every window, and events out of order by less than the longest window. */
    private static List<Event> arrivals(Random dice, WindowSpec spec) {
        List<Event> arrivals = new ArrayList<>();
        long newest = 1_000 + dice.nextInt(50);
        for (int i = 0; i <= dice.nextInt(25); i++) {
            newest += dice.nextInt(10) == 0 ? 2 * spec.horizon() : dice.nextInt(6);
            long late = dice.nextInt(3) == 0 ? dice.nextInt((int) Math.min(spec.horizon(), 8)) : 0;
            // Whole amounts: their sum is the same in every order.
            double[] amounts = {1.0, (double) dice.nextInt(5), (double) dice.nextInt(5) - 2};
            arrivals.add(new Event(newest - late, amounts));
        }
        return arrivals;
    }
}
