import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.tensorflow.lite.DataType;
import org.tensorflow.lite.Interpreter;
import org.tensorflow.lite.Tensor;

/**
 * Classifies a video, frame by frame, with a LiteRT file of keras-video export --streaming. The
 * object keeps the state. Feed frames at the rate given in keras_video.json in the file.
 */
public final class StreamClassifier {
  private static final String KEY = "serving_default";
  private final Interpreter network;
  private final Map<String, Object> inputs = new HashMap<>();
  private final Map<String, Object> outputs = new HashMap<>();
  private final List<String> states = new ArrayList<>();
  private int count;

  public StreamClassifier(Interpreter network) {
    this.network = network;
    for (String name : network.getSignatureInputs(KEY)) {
      inputs.put(name, buffer(input(name)));
    }
    for (String name : network.getSignatureOutputs(KEY)) {
      outputs.put(name, buffer(network.getOutputTensorFromSignature(name, KEY)));
      if (!name.equals("predictions")) states.add(name);
    }
    reset();
  }

  /** Starts a new stream. In quantized tensors the zero point stands for zero. */
  public void reset() {
    count = 0;
    for (String name : states) {
      byte zero = (byte) input(name).quantizationParams().getZeroPoint();
      ByteBuffer state = (ByteBuffer) inputs.get(name);
      for (int i = 0; i < state.capacity(); i++) state.put(i, zero);
    }
  }

  /** Returns predictions for the next frame: RGB bytes, row by row; pixels is 255 or 1. */
  public float[] classify(byte[] rgb, float pixels) {
    ByteBuffer frame = (ByteBuffer) inputs.get("frames");
    Tensor.QuantizationParams range = input("frames").quantizationParams();
    boolean floats = input("frames").dataType() == DataType.FLOAT32;
    for (int i = 0; i < rgb.length; i++) {
      float value = (rgb[i] & 0xff) * pixels / 255f;
      if (floats) frame.putFloat(4 * i, value);
      else frame.put(i, (byte) (Math.round(value / range.getScale()) + range.getZeroPoint()));
    }
    ((ByteBuffer) inputs.get("inverse_count")).putFloat(0, 1f / (count + 1));
    if (inputs.containsKey("position")) ((ByteBuffer) inputs.get("position")).putFloat(0, count);
    for (Object output : outputs.values()) ((ByteBuffer) output).rewind();
    network.runSignature(inputs, outputs, KEY);
    for (String name : states) append((ByteBuffer) inputs.get(name), (ByteBuffer) outputs.get(name));
    count++;
    return floats(network.getOutputTensorFromSignature("predictions", KEY), "predictions");
  }

  /** Appends the output at the end, and drops as many bytes at the beginning. */
  private static void append(ByteBuffer state, ByteBuffer fresh) {
    int kept = state.capacity() - fresh.capacity();
    for (int i = 0; i < kept; i++) state.put(i, state.get(i + fresh.capacity()));
    for (int i = 0; i < fresh.capacity(); i++) state.put(kept + i, fresh.get(i));
  }

  private float[] floats(Tensor tensor, String name) {
    ByteBuffer values = (ByteBuffer) outputs.get(name);
    Tensor.QuantizationParams range = tensor.quantizationParams();
    boolean floats = tensor.dataType() == DataType.FLOAT32;
    float[] result = new float[floats ? values.capacity() / 4 : values.capacity()];
    for (int i = 0; i < result.length; i++) {
      result[i] = floats ? values.getFloat(4 * i)
          : (values.get(i) - range.getZeroPoint()) * range.getScale();
    }
    return result;
  }

  private Tensor input(String name) {
    return network.getInputTensorFromSignature(name, KEY);
  }

  private static ByteBuffer buffer(Tensor tensor) {
    return ByteBuffer.allocateDirect(tensor.numBytes()).order(ByteOrder.nativeOrder());
  }
}
