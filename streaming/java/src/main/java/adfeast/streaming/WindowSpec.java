package adfeast.streaming;

import java.io.Serializable;
import java.util.Arrays;
import java.util.Comparator;
import java.util.stream.IntStream;

/**
 * What the function must know of a view: {@code <features>;emit=<ms>;from=<ms>;delay=<ms>}, all options with default 0.
 *
 * <p>Features are written {@code column-window-slide_column-window-slide...} in milliseconds in the order of the values it
 * emits; slide 0 is a session whose gap is the window.
 *
 * @param tile length of the newest tiles: the greatest common divisor of all slides, 0 without tiles
 * @param horizon the longest window
 * @param columns how many amounts an event has
 * @param coarser tiled features by their windows, the shortest first
 * @param grains for each of them the length of tiles that only the features after it can cover still
 * @param emit a key's values are written at most once in so much event time; 0: at every change
 * @param from nothing is written before the watermark has passed this time
 * @param delay how far the watermark trails behind a time mark
 */
record WindowSpec(
        int[] column,
        long[] window,
        long[] slide,
        long tile,
        long horizon,
        int columns,
        int[] coarser,
        long[] grains,
        long emit,
        long from,
        long delay)
        implements Serializable {
    static WindowSpec parse(String text) {
        String[] parts = text.split(";");
        String[] features = parts[0].split("_");
        int[] column = new int[features.length];
        long[] window = new long[features.length];
        long[] slide = new long[features.length];
        long tile = 0;
        long horizon = 0;
        int columns = 1;
        for (int f = 0; f < features.length; f++) {
            String[] numbers = features[f].split("-");
            column[f] = Integer.parseInt(numbers[0]);
            window[f] = Long.parseLong(numbers[1]);
            slide[f] = Long.parseLong(numbers[2]);
            tile = gcd(tile, slide[f]);
            horizon = Math.max(horizon, window[f]);
            columns = Math.max(columns, column[f] + 1);
        }
        int[] coarser =
                IntStream.range(0, features.length)
                        .filter(f -> slide[f] > 0)
                        .boxed()
                        .sorted(Comparator.comparingLong(f -> window[f]))
                        .mapToInt(f -> f)
                        .toArray();
        long[] grains = new long[coarser.length];
        for (int i = coarser.length - 1; i > 0; i--) {
            grains[i - 1] = gcd(grains[i], slide[coarser[i]]);
        }
        long[] options = new long[3];
        for (String part : Arrays.asList(parts).subList(1, parts.length)) {
            String[] option = part.split("=", 2);
            int which = Arrays.asList("emit", "from", "delay").indexOf(option[0]);
            if (which < 0 || option.length < 2) {
                throw new IllegalArgumentException(
                        "'" + part + "' in the specification '" + text + "' is none of emit=, from= and delay=");
            }
            options[which] = Long.parseLong(option[1]);
        }
        return new WindowSpec(
                column, window, slide, tile, horizon, columns, coarser, grains, options[0], options[1], options[2]);
    }

    int features() {
        return column.length;
    }

    boolean isSession(int feature) {
        return slide[feature] == 0;
    }

    /** First millisecond that the window of a feature covers at time t. */
    long from(int feature, long t) {
        return (Math.floorDiv(t, slide[feature]) + 1) * slide[feature] - window[feature];
    }

    /** When a tile that starts at {@code start} leaves the window of a feature. */
    long leaves(int feature, long start) {
        return Math.floorDiv(start, slide[feature]) * slide[feature] + window[feature];
    }

    private static long gcd(long a, long b) {
        return b == 0 ? a : gcd(b, a % b);
    }
}
