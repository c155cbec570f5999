package adfeast.streaming;

import java.time.Duration;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.catalog.DataTypeFactory;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.functions.ProcessTableFunction;
import org.apache.flink.table.functions.SpecializedFunction;
import org.apache.flink.table.functions.UserDefinedFunction;
import org.apache.flink.table.types.inference.StateTypeStrategy;
import org.apache.flink.table.types.inference.StaticArgument;
import org.apache.flink.table.types.inference.StaticArgumentTrait;
import org.apache.flink.table.types.inference.TypeInference;
import org.apache.flink.table.types.inference.TypeStrategies;

/**
 * {@code label_states(events => TABLE e PARTITION BY impression_id, rules => '...', on_time => DESCRIPTOR(ts))}: the states
 * of each impression's label; {@link LabelRules} says how rules are written. The columns of the events are
 * {@code impression_id, click_id, ts}, in this order; an impression has no click.
 *
 * <p>A row comes out of kind LABEL when a label's row has changed, and REFUSED for an event that is in none: its state is
 * then the reason, its event the click or the impression.
 */
public class LabelStates extends ProcessTableFunction<RowData> implements SpecializedFunction {
    static final int LABEL = 0;
    static final int REFUSED = 1;

    private static final int IMPRESSION_COLUMN = 0;
    private static final int CLICK_COLUMN = 1;

    private final LabelRules rules;

    /** What the planner finds by name; {@link #specialize} makes the one that runs. */
    public LabelStates() {
        this(null);
    }

    private LabelStates(LabelRules rules) {
        this.rules = rules;
    }

    @Override
    public UserDefinedFunction specialize(SpecializedContext context) {
        return new LabelStates(
                LabelRules.parse(context.getCallContext().getArgumentValue(1, String.class).orElseThrow()));
    }

    public void eval(Context ctx, LabelState.Packed packed, RowData events, StringData text) {
        TimeContext<Long> clock = ctx.timeContext(Long.class);
        long event = clock.time();
        Long known = clock.currentWatermark();
        long watermark = known == null ? LabelState.NEVER : known;
        LabelState state = LabelState.unpack(packed, rules);
        Written out = new Written(events.getString(IMPRESSION_COLUMN));
        if (events.isNullAt(CLICK_COLUMN)) {
            state.impression(event, watermark, out);
        } else {
            state.click(events.getString(CLICK_COLUMN).toBytes(), event, watermark, out);
        }
        if (!state.isEmpty()) {
            // One that is registered already is registered once; one that was left behind does no harm.
            clock.registerOnTime(state.nextChange());
            state.pack(packed);
        }
    }

    public void onTimer(OnTimerContext ctx, LabelState.Packed packed) {
        TimeContext<Long> clock = ctx.timeContext(Long.class);
        LabelState state = LabelState.unpack(packed, rules);
        // Timers fire in the order of their times, so this is how far the key is, wherever the watermark has gone.
        state.pass(clock.time(), new Written(null));
        if (state.isEmpty()) {
            ctx.clearAllState();
            return;
        }
        clock.registerOnTime(state.nextChange());
        state.pack(packed);
    }

    private final class Written implements LabelState.Output {
        private final StringData impression;

        /** @param impression what an impression that is refused is called: none is by a timer */
        Written(StringData impression) {
            this.impression = impression;
        }

        @Override
        public void label(LabelState.Row row) {
            collect(
                    GenericRowData.of(
                            LABEL,
                            StringData.fromString(row.state()),
                            null,
                            row.label(),
                            row.weight(),
                            row.at(),
                            row.shown(),
                            row.clicked() < 0 ? null : (Object) row.clicked(),
                            row.duplicateImpressions(),
                            row.clicks(),
                            row.duplicateClicks(),
                            row.before(),
                            row.late()));
        }

        @Override
        public void refuse(byte[] click, long at, String reason) {
            StringData event = click == null ? impression : StringData.fromBytes(click);
            collect(
                    GenericRowData.of(
                            REFUSED, StringData.fromString(reason), event, 0, 0.0, at, at, null, 0, 0, 0, 0, 0));
        }
    }

    @Override
    public TypeInference getTypeInference(DataTypeFactory types) {
        LinkedHashMap<String, StateTypeStrategy> states = new LinkedHashMap<>();
        // Without a time to live, whose default has Flink look through other keys' state at every access.
        states.put(
                "state",
                StateTypeStrategy.of(
                        TypeStrategies.explicit(types.createDataType(LabelState.Packed.class)), Duration.ZERO));
        return TypeInference.newBuilder()
                .staticArguments(
                        List.of(
                                StaticArgument.table(
                                        "events",
                                        DataTypes.ROW(
                                                        DataTypes.FIELD("impression_id", DataTypes.STRING()),
                                                        DataTypes.FIELD("click_id", DataTypes.STRING()),
                                                        DataTypes.FIELD("ts", DataTypes.TIMESTAMP_LTZ(3)))
                                                .bridgedTo(RowData.class),
                                        false,
                                        EnumSet.of(
                                                StaticArgumentTrait.TABLE,
                                                StaticArgumentTrait.SET_SEMANTIC_TABLE,
                                                StaticArgumentTrait.REQUIRE_ON_TIME)),
                                StaticArgument.scalar(
                                        "rules", DataTypes.STRING().notNull().bridgedTo(StringData.class), false)))
                .stateTypeStrategies(states)
                .outputTypeStrategy(
                        TypeStrategies.explicit(
                                DataTypes.ROW(
                                                DataTypes.FIELD("kind", DataTypes.INT().notNull()),
                                                DataTypes.FIELD("state", DataTypes.STRING().notNull()),
                                                DataTypes.FIELD("event_id", DataTypes.STRING()),
                                                DataTypes.FIELD("label", DataTypes.INT().notNull()),
                                                DataTypes.FIELD("weight", DataTypes.DOUBLE().notNull()),
                                                DataTypes.FIELD("at_ms", DataTypes.BIGINT().notNull()),
                                                DataTypes.FIELD("shown_ms", DataTypes.BIGINT().notNull()),
                                                DataTypes.FIELD("clicked_ms", DataTypes.BIGINT()),
                                                DataTypes.FIELD("duplicate_impressions", DataTypes.INT().notNull()),
                                                DataTypes.FIELD("clicks", DataTypes.INT().notNull()),
                                                DataTypes.FIELD("duplicate_clicks", DataTypes.INT().notNull()),
                                                DataTypes.FIELD("clicks_before", DataTypes.INT().notNull()),
                                                DataTypes.FIELD("clicks_late", DataTypes.INT().notNull()))
                                        .bridgedTo(RowData.class)))
                .build();
    }
}
