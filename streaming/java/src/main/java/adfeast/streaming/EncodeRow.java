package adfeast.streaming;

import java.nio.ByteBuffer;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.catalog.DataTypeFactory;
import org.apache.flink.table.data.ArrayData;
import org.apache.flink.table.functions.ScalarFunction;
import org.apache.flink.table.types.inference.InputTypeStrategies;
import org.apache.flink.table.types.inference.TypeInference;
import org.apache.flink.table.types.inference.TypeStrategies;

/**
 * {@code encode_row('layout', at_ms, amounts ARRAY<DOUBLE>, 'BIGINT,DOUBLE,...')}: a row of a feature topic as BYTES, by
 * {@link RowLayout}. Without amounts it is a watermark row.
 */
public class EncodeRow extends ScalarFunction {
    private transient String parsed;
    private transient RowLayout layout;

    public byte[] eval(String id, Long atMs, ArrayData amounts, String types) {
        if (!id.equals(parsed)) {
            layout = RowLayout.parse(id, types);
            parsed = id;
        }
        if (amounts == null) {
            return layout.head(atMs, 0).array();
        }
        boolean[] integral = layout.integral();
        if (amounts.size() != integral.length) {
            throw new IllegalArgumentException(amounts.size() + " values for the " + integral.length + " of layout " + id);
        }
        ByteBuffer row = layout.head(atMs, integral.length);
        for (int i = 0; i < integral.length; i++) {
            double amount = amounts.getDouble(i);
            row.putLong(integral[i] ? (long) amount : Double.doubleToRawLongBits(amount));
        }
        return row.array();
    }

    @Override
    public TypeInference getTypeInference(DataTypeFactory types) {
        return TypeInference.newBuilder()
                .inputTypeStrategy(
                        InputTypeStrategies.sequence(
                                InputTypeStrategies.explicit(DataTypes.STRING().notNull()),
                                InputTypeStrategies.explicit(DataTypes.BIGINT()),
                                InputTypeStrategies.explicit(
                                        DataTypes.ARRAY(DataTypes.DOUBLE()).bridgedTo(ArrayData.class)),
                                InputTypeStrategies.explicit(DataTypes.STRING().notNull())))
                .outputTypeStrategy(TypeStrategies.explicit(DataTypes.BYTES().notNull()))
                .build();
    }
}
