package org.tensorflow.lite;

/** Stand-in for LiteRT's class of this name. */
public final class Tensor {
  private final DataType type;
  private final int bytes;
  private final QuantizationParams range;

  Tensor(DataType type, int bytes, float scale, int zeroPoint) {
    this.type = type;
    this.bytes = bytes;
    this.range = new QuantizationParams(scale, zeroPoint);
  }

  public DataType dataType() {
    return type;
  }

  public int numBytes() {
    return bytes;
  }

  public QuantizationParams quantizationParams() {
    return range;
  }

  /** Scale and zero point, both 0 in float. */
  public static final class QuantizationParams {
    private final float scale;
    private final int zeroPoint;

    QuantizationParams(float scale, int zeroPoint) {
      this.scale = scale;
      this.zeroPoint = zeroPoint;
    }

    public float getScale() {
      return scale;
    }

    public int getZeroPoint() {
      return zeroPoint;
    }
  }
}
