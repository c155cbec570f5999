package adfeast.streaming;

import java.io.Serializable;
import java.util.Arrays;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * When a label changes (adfeast.contract.label_states.LabelRules), written {@code window=<ms>;grace=<ms>;steps=<n>}.
 *
 * @param window a click at most so long after its impression makes it positive
 * @param grace how far a click may lie before its impression or after its window and still belong to it
 * @param steps in which a negative's weight grows while its window is open
 */
record LabelRules(long window, long grace, int steps) implements Serializable {
    static LabelRules parse(String text) {
        Map<String, String> given =
                Arrays.stream(text.split(";")).map(r -> r.split("=", 2)).collect(Collectors.toMap(r -> r[0], r -> r[1]));
        if (!given.keySet().equals(Set.of("window", "grace", "steps"))) {
            throw new IllegalArgumentException("the rules of labels are window=, grace= and steps=, not '" + text + "'");
        }
        return new LabelRules(
                Long.parseLong(given.get("window")),
                Long.parseLong(given.get("grace")),
                Integer.parseInt(given.get("steps")));
    }

    /** Age of an impression at which its negative weighs {@code step / steps}. */
    long stepAge(int step) {
        return (step * window + steps - 1) / steps;
    }

    /** How many steps an impression has passed. */
    int stepsPassed(long shown, long watermark) {
        int step = 0;
        while (step < steps && watermark >= shown + stepAge(step + 1)) {
            step++;
        }
        return step;
    }

    long impressionKept() {
        return window + grace;
    }

    long clickKept() {
        return impressionKept() + grace;
    }

    boolean belongs(long clicked, long shown) {
        return shown - grace <= clicked && clicked <= shown + impressionKept();
    }
}
