package adfeast.streaming;

/**
 * The features of a view as the function needs them, written {@code column-window-slide_column-window-slide...} in
 * milliseconds in the order of the values it emits; slide 0 is a session whose gap is the window.
 */
record WindowSpec(int[] column, long[] window, long[] slide, long tile, long horizon, int columns) {
    static WindowSpec parse(String text) {
        String[] features = text.split("_");
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
        return new WindowSpec(column, window, slide, tile, horizon, columns);
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
