package adfeast.streaming;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;

/**
 * What is known of one impression and of the clicks on it, and what is written when that changes: docs/labels.md says what,
 * the naive twin (tests/parity/naive_labels.py) how it follows from the events.
 *
 * <p>A row is written whenever it differs from the one before, so what was written last need not be kept: it is the row of
 * the state as it was. Flink keeps the state as {@link Packed}, 13 bytes for an impression without clicks.
 */
final class LabelState {
    /** The state as Flink keeps it. */
    public static class Packed {
        /** Null for a key of which nothing is known: Flink keeps no state that is all null. */
        public byte[] bytes;
    }

    static final String PROVISIONAL = "provisional";
    static final String POSITIVE = "positive";
    static final String NEGATIVE = "negative";
    static final String LATE_POSITIVE = "late_positive";

    static final String WITHOUT_IMPRESSION = "without_impression";
    static final String EXPIRED = "expired";
    static final String CROWDED = "crowded";

    /** Different clicks that are remembered: a program that clicks for ever fills no memory. */
    static final int MOST_CLICKS = 64;
    /** The watermark when there is none yet. */
    static final long NEVER = Long.MIN_VALUE / 2;

    private static final long NOT_SHOWN = Long.MIN_VALUE;
    private static final int HEADER_BYTES = 13;
    private static final int CLICK_BYTES = 14;

    /**
     * The row of an impression.
     *
     * @param clicked -1 when there is none
     */
    record Row(
            String state,
            double weight,
            long at,
            long shown,
            long clicked,
            int duplicateImpressions,
            int clicks,
            int duplicateClicks,
            int before,
            int late) {
        int label() {
            return state.equals(POSITIVE) ? 1 : 0;
        }
    }

    /** Where rows and refused events go. */
    interface Output {
        void label(Row row);

        /** @param click null for the impression itself */
        void refuse(byte[] click, long at, String reason);
    }

    private record Click(byte[] id, long time, int repeated) {
        int compare(Click other) {
            return time != other.time ? Long.compare(time, other.time) : Arrays.compareUnsigned(id, other.id);
        }
    }

    private final LabelRules rules;
    private long shown = NOT_SHOWN;
    private int duplicates;
    private int step;
    /** In the order of their times. */
    private final List<Click> clicks = new ArrayList<>();

    private LabelState(LabelRules rules) {
        this.rules = rules;
    }

    static LabelState unpack(Packed packed, LabelRules rules) {
        LabelState state = new LabelState(rules);
        if (packed.bytes != null) {
            ByteBuffer bytes = ByteBuffer.wrap(packed.bytes);
            state.shown = bytes.getLong();
            state.duplicates = bytes.getInt();
            state.step = bytes.get();
            while (bytes.hasRemaining()) {
                long time = bytes.getLong();
                int repeated = bytes.getInt();
                byte[] id = new byte[bytes.getShort()];
                bytes.get(id);
                state.clicks.add(new Click(id, time, repeated));
            }
        }
        return state;
    }

    void pack(Packed packed) {
        ByteBuffer bytes =
                ByteBuffer.allocate(HEADER_BYTES + clicks.stream().mapToInt(c -> CLICK_BYTES + c.id.length).sum());
        bytes.putLong(shown).putInt(duplicates).put((byte) step);
        for (Click click : clicks) {
            bytes.putLong(click.time).putInt(click.repeated).putShort((short) click.id.length).put(click.id);
        }
        packed.bytes = bytes.array();
    }

    boolean isEmpty() {
        return shown == NOT_SHOWN && clicks.isEmpty();
    }

    /** An impression; one that comes when its label may be forgotten already is refused, or it would begin anew. */
    void impression(long time, long watermark, Output out) {
        if (time + rules.impressionKept() <= watermark) {
            out.refuse(null, time, EXPIRED);
            return;
        }
        Row before = row();
        if (shown == NOT_SHOWN) {
            shown = time;
        } else {
            duplicates++;
            shown = Math.min(shown, time);
        }
        write(before, watermark, out);
    }

    /** A click, before or after its impression. */
    void click(byte[] id, long time, long watermark, Output out) {
        if (time + rules.clickKept() <= watermark) {
            out.refuse(id, time, WITHOUT_IMPRESSION);
            return;
        }
        Row before = row();
        Click click = new Click(id, time, 0);
        for (Iterator<Click> known = clicks.iterator(); known.hasNext(); ) {
            Click same = known.next();
            if (Arrays.equals(same.id, id)) {
                known.remove();
                click = new Click(id, Math.min(same.time, time), same.repeated + 1);
                break;
            }
        }
        int place = 0;
        while (place < clicks.size() && clicks.get(place).compare(click) < 0) {
            place++;
        }
        clicks.add(place, click);
        if (clicks.size() > MOST_CLICKS) {
            Click last = clicks.remove(MOST_CLICKS);
            out.refuse(last.id, last.time, CROWDED);
        }
        write(before, watermark, out);
    }

    /** The watermark passes a time at which a timer was set. */
    void pass(long now, Output out) {
        write(row(), now, out);
        if (shown != NOT_SHOWN && shown + rules.impressionKept() <= now) {
            clicks.removeIf(c -> rules.belongs(c.time, shown));
            shown = NOT_SHOWN;
            duplicates = 0;
            step = 0;
        }
        while (!clicks.isEmpty() && clicks.get(0).time + rules.clickKept() <= now) {
            Click lost = clicks.remove(0);
            out.refuse(lost.id, lost.time, WITHOUT_IMPRESSION);
        }
    }

    /** The next time at which something changes without an event; there is one while the state is not empty. */
    long nextChange() {
        long next = Long.MAX_VALUE;
        if (shown != NOT_SHOWN) {
            boolean open = step < rules.steps() && !row().state.equals(POSITIVE);
            next = shown + (open ? rules.stepAge(step + 1) : rules.impressionKept());
        }
        for (Click click : clicks) {
            if (shown == NOT_SHOWN || !rules.belongs(click.time, shown)) {
                return Math.min(next, click.time + rules.clickKept());
            }
        }
        return next;
    }

    private void write(Row before, long watermark, Output out) {
        if (shown == NOT_SHOWN) {
            return;
        }
        // Without a watermark, as after a restart, it is as far as it was.
        step = Math.max(step, rules.stepsPassed(shown, watermark));
        Row now = row();
        if (!now.equals(before)) {
            out.label(now);
        }
    }

    private Row row() {
        if (shown == NOT_SHOWN) {
            return null;
        }
        long closes = shown + rules.window();
        long hit = -1;
        long after = -1;
        int own = 0;
        int repeated = 0;
        int before = 0;
        int late = 0;
        for (Click click : clicks) {
            if (!rules.belongs(click.time, shown)) {
                continue;
            }
            own++;
            repeated += click.repeated;
            if (click.time < shown) {
                before++;
            } else if (click.time <= closes) {
                hit = hit < 0 ? click.time : hit;
            } else {
                late++;
                after = after < 0 ? click.time : after;
            }
        }
        boolean open = step < rules.steps();
        String state = hit >= 0 ? POSITIVE : open ? PROVISIONAL : after >= 0 ? LATE_POSITIVE : NEGATIVE;
        long clicked = hit >= 0 ? hit : open ? -1 : after;
        double weight = state.equals(PROVISIONAL) ? (double) step / rules.steps() : 1.0;
        long at = clicked >= 0 ? clicked : shown + rules.stepAge(step);
        return new Row(state, weight, at, shown, clicked, duplicates, own, repeated, before, late);
    }
}
