package adfeast.streaming;

/** Bytes that are no event; {@code rule} is named as in adfeast.contract.event_rules. */
final class InvalidEvent extends Exception {
    private final String rule;

    InvalidEvent(String rule, String problem) {
        super(problem, null, false, false); // no stack: a topic full of such bytes must cost little
        this.rule = rule;
    }

    String rule() {
        return rule;
    }
}
