package adfeast.streaming;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.zip.GZIPInputStream;
import org.junit.jupiter.api.Test;

/** The histories of tests/parity/label_histories.py: at each arrival this state writes what the naive twin writes. */
class LabelHistoriesTest {
    /** The state of one impression with its timers, driven as LabelStates and Flink drive it. */
    private static final class Impression implements LabelState.Output {
        private final LabelRules rules;
        private final TreeSet<Long> timers = new TreeSet<>();
        private final List<String> written = new ArrayList<>();
        private final LabelState.Packed packed = new LabelState.Packed();
        private long watermark = LabelState.NEVER;

        Impression(LabelRules rules) {
            this.rules = rules;
        }

        String arrive(String arrival) {
            written.clear();
            int click = arrival.indexOf('@');
            if (arrival.startsWith("w")) {
                watermark = Long.parseLong(arrival.substring(1));
                while (!timers.isEmpty() && timers.first() <= watermark) {
                    long now = timers.pollFirst();
                    LabelState state = LabelState.unpack(packed, rules);
                    state.pass(now, this);
                    keep(state);
                }
                return String.join(" ", written);
            }
            LabelState state = LabelState.unpack(packed, rules);
            if (click < 0) {
                state.impression(Long.parseLong(arrival.substring(1)), watermark, this);
            } else {
                byte[] id = arrival.substring(0, click).getBytes(StandardCharsets.UTF_8);
                state.click(id, Long.parseLong(arrival.substring(click + 1)), watermark, this);
            }
            keep(state);
            return String.join(" ", written);
        }

        boolean isForgotten() {
            return packed.bytes == null;
        }

        private void keep(LabelState state) {
            if (state.isEmpty()) {
                packed.bytes = null;
                return;
            }
            timers.add(state.nextChange());
            state.pack(packed);
        }

        @Override
        public void label(LabelState.Row row) {
            String clicked = row.clicked() < 0 ? "-" : "" + row.clicked();
            written.add(
                    String.join(
                            ",",
                            row.state(),
                            "" + row.label(),
                            "" + row.weight(),
                            "" + row.at(),
                            "" + row.shown(),
                            clicked,
                            "" + row.duplicateImpressions(),
                            "" + row.clicks(),
                            "" + row.duplicateClicks(),
                            "" + row.before(),
                            "" + row.late()));
        }

        @Override
        public void refuse(byte[] click, long at, String reason) {
            String event = click == null ? "imp" : new String(click, StandardCharsets.UTF_8);
            written.add(String.join(",", event, "" + at, reason));
        }
    }

    @Test
    void whatIsWrittenAtEachArrivalIsWhatTheNaiveTwinWrites() throws IOException {
        int histories = 0;
        List<String> wrong = new ArrayList<>();
        for (String line : lines()) {
            String[] parts = line.split("\t", -1);
            Impression impression = new Impression(LabelRules.parse(parts[0]));
            List<String> outputs = new ArrayList<>();
            for (String arrival : parts[1].split(" ")) {
                outputs.add(impression.arrive(arrival));
            }
            if (!String.join(";", outputs).equals(parts[2])) {
                wrong.add(line + "\n  but: " + String.join(";", outputs));
            }
            assertTrue(impression.isForgotten(), "state is left of " + line);
            histories++;
        }
        assertTrue(wrong.isEmpty(), () -> wrong.size() + " differ\n" + String.join("\n", wrong.subList(0, Math.min(5, wrong.size()))));
        assertEquals(5_000, histories);
    }

    @Test
    void anOpenImpressionIsThirteenBytesAndAClickFourteenAndItsId() {
        LabelRules rules = LabelRules.parse("window=3600000;grace=600000;steps=4");
        Impression impression = new Impression(rules);
        impression.arrive("i1732460000000");
        assertEquals(13, impression.packed.bytes.length);
        impression.arrive("c-1@1732460001000");
        assertEquals(13 + 14 + 3, impression.packed.bytes.length);
        for (int n = 0; n < 1_000; n++) {
            impression.arrive("c" + (100 + n) + "@" + (1732460002000L + n));
        }
        assertTrue(impression.packed.bytes.length <= 13 + LabelState.MOST_CLICKS * (14 + 5));
    }

    private static List<String> lines() throws IOException {
        try (BufferedReader file =
                new BufferedReader(
                        new InputStreamReader(
                                new GZIPInputStream(
                                        LabelHistoriesTest.class.getResourceAsStream("/label_histories.tsv.gz")),
                                StandardCharsets.UTF_8))) {
            return file.lines().toList();
        }
    }
}
