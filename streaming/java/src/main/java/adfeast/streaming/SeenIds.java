package adfeast.streaming;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import org.apache.flink.table.api.dataview.MapView;

/**
 * The ids of the events that a key has counted, to know duplicates. An id takes 16 bytes: 80 bits of its MD5 and its
 * event's time (48 bits, good until the year 10889). Two ids of a key are taken for one with a probability of 2^-80: with
 * a million of them remembered that is one new event in 10^18.
 *
 * <p>The first few lie in the key's own state. When there are more they lie in buckets of a quarter of the horizon, each
 * in as many slots of a map as keep about {@code SLOT} ids: a slot is what is read and written for an event, so that an ad
 * with a million ids costs as little as a user with fifty. A bucket grows by linear hashing (Litwin 1980), one slot at a
 * time, and goes as a whole when the horizon has passed its end, a few slots at a time. No call touches all ids.
 */
final class SeenIds {
    static final int INLINE = 32;
    static final int SLOT = 24;
    static final int DROPPED = 64;
    private static final int TIME_BITS = 48;
    private static final long TIME = (1L << TIME_BITS) - 1;
    private static final int SLOT_BITS = 24;

    private final WindowSpec spec;
    private final long width;
    private final MessageDigest digest;
    private long high;
    private long low;

    SeenIds(WindowSpec spec) {
        this.spec = spec;
        this.width = Math.max(1, (spec.horizon() + 3) / 4);
        try {
            this.digest = MessageDigest.getInstance("MD5");
        } catch (NoSuchAlgorithmException never) {
            throw new IllegalStateException("every JVM has MD5", never);
        }
    }

    /** Whether an event with this id was counted less than the horizon before {@code now}. */
    boolean contains(WindowState state, MapView<Long, long[]> slots, byte[] id, long now) throws Exception {
        hash(id);
        if (matches(state.ids, now)) {
            return true;
        }
        long[] buckets = state.buckets;
        for (int i = 0; i < buckets.length; i += 2) {
            if (!isOver(buckets[i], now)) {
                long[] found = slots.get(place(buckets[i], slot(high, slots(buckets[i + 1]))));
                if (found != null && matches(found, now)) {
                    return true;
                }
            }
        }
        return false;
    }

    /** Remembers the id that {@link #contains} was asked for last, and drops some of what is over. */
    void add(WindowState state, MapView<Long, long[]> slots, long event) throws Exception {
        long tagged = low << TIME_BITS | event;
        if (state.buckets.length == 0) {
            if (state.ids.length >= 2 * INLINE) {
                dropInline(state);
            }
            if (state.ids.length < 2 * INLINE) {
                state.ids = appended(state.ids, high, tagged);
                return;
            }
            for (int i = 0; i < state.ids.length; i += 2) {
                put(state, slots, state.ids[i], state.ids[i + 1]);
            }
            state.ids = new long[0];
        }
        put(state, slots, high, tagged);
        drop(state, slots, state.time);
    }

    /** Drops some of what is over at a time; true when nothing is left to drop. */
    boolean drop(WindowState state, MapView<Long, long[]> slots, long now) throws Exception {
        if (state.buckets.length == 0 || !isOver(state.buckets[0], now)) {
            return true;
        }
        long bucket = state.buckets[0];
        int left = slots(state.buckets[1]);
        for (int dropped = 0; left > 0 && dropped < DROPPED; dropped++) {
            slots.remove(place(bucket, --left));
        }
        if (left == 0) {
            state.buckets = Arrays.copyOfRange(state.buckets, 2, state.buckets.length);
        } else {
            state.buckets[1] = (long) (left - 1) * SLOT;
        }
        return left == 0 && drop(state, slots, now);
    }

    private void hash(byte[] id) {
        ByteBuffer hashed = ByteBuffer.wrap(digest.digest(id)).order(ByteOrder.LITTLE_ENDIAN);
        high = hashed.getLong();
        low = hashed.getLong() >>> TIME_BITS;
    }

    private boolean matches(long[] found, long now) {
        for (int i = 0; i < found.length; i += 2) {
            if (found[i] == high
                    && found[i + 1] >>> TIME_BITS == low
                    && (found[i + 1] & TIME) + spec.horizon() > now) {
                return true;
            }
        }
        return false;
    }

    private boolean isOver(long bucket, long now) {
        return (bucket + 1) * width + spec.horizon() <= now;
    }

    private void dropInline(WindowState state) {
        int n = 0;
        long[] kept = new long[state.ids.length];
        for (int i = 0; i < state.ids.length; i += 2) {
            if ((state.ids[i + 1] & TIME) + spec.horizon() > state.time) {
                kept[n++] = state.ids[i];
                kept[n++] = state.ids[i + 1];
            }
        }
        state.ids = Arrays.copyOf(kept, n);
    }

    private void put(WindowState state, MapView<Long, long[]> slots, long hash, long tagged) throws Exception {
        long bucket = (tagged & TIME) / width;
        int i = 0;
        while (i < state.buckets.length && state.buckets[i] < bucket) {
            i += 2;
        }
        if (i == state.buckets.length || state.buckets[i] != bucket) {
            long[] wider = new long[state.buckets.length + 2];
            System.arraycopy(state.buckets, 0, wider, 0, i);
            System.arraycopy(state.buckets, i, wider, i + 2, state.buckets.length - i);
            wider[i] = bucket;
            state.buckets = wider;
        }
        int before = slots(state.buckets[i + 1]);
        long place = place(bucket, slot(hash, before));
        long[] found = slots.get(place);
        slots.put(place, appended(found == null ? new long[0] : found, hash, tagged));
        state.buckets[i + 1]++;
        if (slots(state.buckets[i + 1]) > before) {
            split(slots, bucket, before);
        }
    }

    /** Moves the ids that belong into the new slot out of the one slot they can be in. */
    private static void split(MapView<Long, long[]> slots, long bucket, int before) throws Exception {
        long source = place(bucket, before - Integer.highestOneBit(before));
        long[] found = slots.get(source);
        if (found == null) {
            return;
        }
        long[] stay = new long[found.length];
        long[] move = new long[found.length];
        int stays = 0;
        int moves = 0;
        for (int i = 0; i < found.length; i += 2) {
            if (slot(found[i], before + 1) == before) {
                move[moves++] = found[i];
                move[moves++] = found[i + 1];
            } else {
                stay[stays++] = found[i];
                stay[stays++] = found[i + 1];
            }
        }
        if (moves > 0) {
            slots.put(source, Arrays.copyOf(stay, stays));
            slots.put(place(bucket, before), Arrays.copyOf(move, moves));
        }
    }

    /** How many slots a bucket of so many ids has. */
    private static int slots(long ids) {
        return (int) (1 + ids / SLOT);
    }

    private static int slot(long hash, int slots) {
        int level = Integer.highestOneBit(slots);
        int at = (int) hash & (2 * level - 1);
        return at < slots ? at : at & (level - 1);
    }

    /** Buckets that live at the same time have numbers close to each other, so that the upper bits can be left out. */
    private static long place(long bucket, int slot) {
        return bucket << SLOT_BITS | slot;
    }

    private static long[] appended(long[] pairs, long hash, long tagged) {
        long[] longer = Arrays.copyOf(pairs, pairs.length + 2);
        longer[pairs.length] = hash;
        longer[pairs.length + 1] = tagged;
        return longer;
    }
}
