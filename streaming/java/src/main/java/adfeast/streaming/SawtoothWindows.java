package adfeast.streaming;

import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.api.dataview.MapView;
import org.apache.flink.table.catalog.DataTypeFactory;
import org.apache.flink.table.data.GenericArrayData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.binary.BinaryStringData;
import org.apache.flink.table.functions.FunctionContext;
import org.apache.flink.table.functions.ProcessTableFunction;
import org.apache.flink.table.functions.SpecializedFunction;
import org.apache.flink.table.functions.UserDefinedFunction;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.inference.StateTypeStrategy;
import org.apache.flink.table.types.inference.StaticArgument;
import org.apache.flink.table.types.inference.StaticArgumentTrait;
import org.apache.flink.table.types.inference.TypeInference;
import org.apache.flink.table.types.inference.TypeStrategies;

/**
 * {@code sawtooth_windows(events => TABLE e PARTITION BY entity_key, spec => '...', on_time => DESCRIPTOR(ts))}: all
 * features of one view in one pass; {@link WindowSpec} says how they are written. The columns of the events are
 * {@code entity_key, event_id, amounts, ts}, in this order.
 *
 * <p>A row comes out of kind VALUE when the values of a key are to be written, LATE for an event that was not counted, and
 * WATERMARK for a key that begins with a zero byte: those are fed with time marks (rows without {@code event_id}), and say
 * that every event up to {@code at_ms} that came on time is in the values that came out before.
 *
 * <p>Rows stay in Flink's own form on both sides: to convert them costs more than to count.
 */
public class SawtoothWindows extends ProcessTableFunction<RowData> implements SpecializedFunction {
    static final int VALUE = 0;
    static final int LATE = 1;
    static final int WATERMARK = 2;
    /** Event time that must pass between two watermarks of a key. */
    static final long WATERMARK_STEP_MS = 200;

    /** What {@code lastEvent} holds for a key of time marks: no event has this time. */
    private static final long MARKS = -1;
    /** A time at which every bucket of ids is over. */
    private static final long ALL = Long.MAX_VALUE;

    private static final int KEY_COLUMN = 0;
    private static final int ID_COLUMN = 1;
    private static final int AMOUNTS_COLUMN = 2;

    private final WindowSpec spec;
    private transient SeenIds seen;
    private transient WindowState.Output values;

    /** What the planner finds by name; {@link #specialize} makes the one that runs. */
    public SawtoothWindows() {
        this(null);
    }

    private SawtoothWindows(WindowSpec spec) {
        this.spec = spec;
    }

    @Override
    public UserDefinedFunction specialize(SpecializedContext context) {
        return new SawtoothWindows(
                WindowSpec.parse(context.getCallContext().getArgumentValue(1, String.class).orElseThrow()));
    }

    @Override
    public void open(FunctionContext context) {
        seen = new SeenIds(spec);
        values = (time, amounts) -> collect(row(VALUE, null, time, amounts));
    }

    public void eval(Context ctx, WindowState state, MapView<Long, long[]> slots, RowData events, StringData text)
            throws Exception {
        TimeContext<Long> clock = ctx.timeContext(Long.class);
        long event = clock.time();
        Long known = clock.currentWatermark();
        long watermark = known == null ? WindowState.NEVER : known;
        boolean marks = isMarks(events.getString(KEY_COLUMN));
        if (events.isNullAt(ID_COLUMN)) {
            if (marks) {
                mark(clock, state, event - spec.delay(), watermark);
            }
            return;
        }
        StringData id = events.getString(ID_COLUMN);
        if (!marks && seen.contains(state, slots, id.toBytes(), Math.max(state.time, event))) {
            return;
        }
        // The last bound holds while there is no watermark yet, as after a restart.
        if (marks || event <= watermark || event <= state.time - spec.horizon()) {
            if (spec.from() == 0 || watermark >= spec.from()) {
                collect(row(LATE, id, event, null));
            }
            return;
        }
        state.add(spec, event, events.getArray(AMOUNTS_COLUMN).toDoubleArray(), watermark, values);
        seen.add(state, slots, event);
        setTimer(clock, state, state.wakeAt(spec, watermark));
    }

    public void onTimer(OnTimerContext ctx, WindowState state, MapView<Long, long[]> slots) throws Exception {
        TimeContext<Long> clock = ctx.timeContext(Long.class);
        // Timers fire in the order of their times, so this is how far the key is, wherever the watermark has gone.
        long now = clock.time();
        if (state.lastEvent == MARKS) {
            // Others with the same time may fire after this one.
            publish(state, now - 1);
            return;
        }
        if (state.timer == now) {
            state.timer = 0;
        }
        if (state.lastEvent == 0) {
            ctx.clearAllState(); // of a timer that was left behind: a later one does no harm and is never deleted
            return;
        }
        state.wake(spec, now, values);
        if (!state.isOver(spec, now)) {
            setTimer(clock, state, state.wakeAt(spec, now));
        } else if (seen.drop(state, slots, ALL)) {
            ctx.clearAllState();
        } else {
            setTimer(clock, state, now + 1);
        }
    }

    private static void setTimer(TimeContext<Long> clock, WindowState state, long next) {
        if (state.timer == 0 || next < state.timer) {
            clock.registerOnTime(next);
            state.timer = next;
        }
    }

    private void mark(TimeContext<Long> clock, WindowState state, long told, long watermark) {
        state.lastEvent = MARKS;
        if (told <= watermark) {
            publish(state, watermark);
        } else {
            clock.registerOnTime(told);
        }
    }

    /** Values may wait as long as the emission interval. */
    private void publish(WindowState state, long watermark) {
        long complete = watermark - spec.emit();
        if (complete >= spec.from() && complete >= state.time + WATERMARK_STEP_MS) {
            state.time = complete;
            collect(row(WATERMARK, null, complete, null));
        }
    }

    private static boolean isMarks(StringData key) {
        BinaryStringData bytes = (BinaryStringData) key;
        return bytes.getSizeInBytes() > 0 && bytes.byteAt(0) == 0;
    }

    private static RowData row(int kind, StringData id, long time, double[] amounts) {
        return GenericRowData.of(kind, id, time, amounts == null ? null : new GenericArrayData(amounts));
    }

    @Override
    public TypeInference getTypeInference(DataTypeFactory types) {
        DataType slots =
                MapView.newMapViewDataType(
                        DataTypes.BIGINT().notNull(),
                        DataTypes.ARRAY(DataTypes.BIGINT().notNull().bridgedTo(long.class)).bridgedTo(long[].class));
        LinkedHashMap<String, StateTypeStrategy> states = new LinkedHashMap<>();
        states.put("state", StateTypeStrategy.of(TypeStrategies.explicit(types.createDataType(WindowState.class))));
        states.put("slots", StateTypeStrategy.of(TypeStrategies.explicit(slots)));
        return TypeInference.newBuilder()
                .staticArguments(
                        List.of(
                                StaticArgument.table(
                                        "events",
                                        DataTypes.ROW(
                                                        DataTypes.FIELD("entity_key", DataTypes.STRING()),
                                                        DataTypes.FIELD("event_id", DataTypes.STRING()),
                                                        DataTypes.FIELD("amounts", DataTypes.ARRAY(DataTypes.DOUBLE())),
                                                        DataTypes.FIELD("ts", DataTypes.TIMESTAMP_LTZ(3)))
                                                .bridgedTo(RowData.class),
                                        false,
                                        EnumSet.of(
                                                StaticArgumentTrait.TABLE,
                                                StaticArgumentTrait.SET_SEMANTIC_TABLE,
                                                StaticArgumentTrait.REQUIRE_ON_TIME)),
                                StaticArgument.scalar(
                                        "spec", DataTypes.STRING().notNull().bridgedTo(StringData.class), false)))
                .stateTypeStrategies(states)
                .outputTypeStrategy(
                        TypeStrategies.explicit(
                                DataTypes.ROW(
                                                DataTypes.FIELD("kind", DataTypes.INT().notNull()),
                                                DataTypes.FIELD("event_id", DataTypes.STRING()),
                                                DataTypes.FIELD("at_ms", DataTypes.BIGINT().notNull()),
                                                DataTypes.FIELD("amounts", DataTypes.ARRAY(DataTypes.DOUBLE())))
                                        .bridgedTo(RowData.class)))
                .build();
    }
}
