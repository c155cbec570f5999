package adfeast.streaming;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.flink.table.api.dataview.MapView;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Duplicates are told by the rule of docs/semantics.md, however many ids there are, and none is kept for ever. */
class SeenIdsTest {
    private static final long HORIZON = 1_000;
    private static final WindowSpec SPEC = WindowSpec.parse("0-" + HORIZON + "-10");

    /** Counts what Flink would read and write. */
    private static final class CountedSlots extends MapView<Long, long[]> {
        int calls;
        int longest;

        @Override
        public long[] get(Long key) throws Exception {
            calls++;
            return super.get(key);
        }

        @Override
        public void put(Long key, long[] value) throws Exception {
            calls++;
            longest = Math.max(longest, value.length / 2);
            super.put(key, value);
        }

        @Override
        public void remove(Long key) throws Exception {
            calls++;
            super.remove(key);
        }
    }

    /** The pace decides how many ids lie within the horizon: from a few in the state to thousands in buckets. */
    @ParameterizedTest
    @ValueSource(ints = {500, 100, 30, 10, 1, 0})
    void duplicatesAreThoseOfANaiveMap(int pace) throws Exception {
        for (int seed = 0; seed < 20; seed++) {
            Random dice = new Random(seed);
            SeenIds seen = new SeenIds(SPEC);
            WindowState state = new WindowState();
            CountedSlots slots = new CountedSlots();
            Map<String, Long> counted = new HashMap<>();
            List<String> ids = new ArrayList<>();
            long newest = 1_574_500_000_123L + dice.nextInt(1_000);
            for (int i = 0; i < 5_000; i++) {
                newest += pace > 0 ? dice.nextInt(2 * pace) : dice.nextInt(20) / 19;
                boolean again = dice.nextInt(4) == 0 && !ids.isEmpty();
                String id = again ? ids.get(ids.size() - 1 - dice.nextInt(Math.min(ids.size(), 3_000))) : "event-" + i;
                long event = again && dice.nextBoolean() ? counted.get(id) : newest - dice.nextInt((int) HORIZON);
                long now = Math.max(state.time, event);
                boolean expected = counted.containsKey(id) && counted.get(id) + HORIZON > now;
                slots.calls = 0;
                assertEquals(expected, seen.contains(state, slots, id.getBytes(), now), "seed " + seed + ", event " + i);
                if (!expected && event > state.time - HORIZON) {
                    state.time = now;
                    seen.add(state, slots, event);
                    counted.put(id, event);
                    ids.add(id);
                }
                assertTrue(slots.calls <= 2 * SeenIds.DROPPED + 20, slots.calls + " reads and writes for an event");
            }
        }
    }

    @Test
    void aDuplicateIsFoundOverTheBordersOfBuckets() throws Exception {
        SeenIds seen = new SeenIds(SPEC);
        WindowState state = new WindowState();
        MapView<Long, long[]> slots = new MapView<>();
        for (int i = 0; i < 1_000; i++) {
            state.time = 10_000 + i;
            assertEquals(false, seen.contains(state, slots, ("id " + i).getBytes(), state.time));
            seen.add(state, slots, state.time);
        }
        assertTrue(state.buckets.length / 2 >= 4);
        for (int i = 0; i < 1_000; i++) {
            assertTrue(seen.contains(state, slots, ("id " + i).getBytes(), 10_999), "id " + i);
            assertEquals(i > 250, seen.contains(state, slots, ("id " + i).getBytes(), 11_250), "id " + i);
        }
    }

    @Test
    void aHotKeyIsAsCheapAsAnotherAndItsIdsGo() throws Exception {
        SeenIds seen = new SeenIds(SPEC);
        WindowState state = new WindowState();
        CountedSlots slots = new CountedSlots();
        int most = 0;
        for (int i = 0; i < 300_000; i++) {
            state.time = 1_000_000 + i / 100; // 100,000 ids within the horizon
            slots.calls = 0;
            seen.contains(state, slots, ("event " + i).getBytes(), state.time);
            seen.add(state, slots, state.time);
            most = Math.max(most, slots.calls);
        }
        assertTrue(most <= SeenIds.DROPPED + 12, most + " reads and writes for an event");
        assertTrue(slots.longest <= 4 * SeenIds.SLOT, slots.longest + " ids in a slot");
        int left = slots.getMap().values().stream().mapToInt(slot -> slot.length / 2).sum();
        assertTrue(left < 1.3 * 100 * HORIZON, left + " ids are kept");
        int steps = 0;
        while (!seen.drop(state, slots, Long.MAX_VALUE)) {
            steps++;
        }
        assertTrue(slots.getMap().isEmpty() && state.buckets.length == 0);
        assertTrue(steps > left / SeenIds.SLOT / SeenIds.DROPPED / 2, steps + " steps");
        seen.contains(state, slots, new byte[] {1}, state.time);
        seen.add(state, slots, state.time);
        assertEquals(2, state.ids.length);
    }
}
