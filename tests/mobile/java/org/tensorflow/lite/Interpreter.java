package org.tensorflow.lite;

import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Stand-in for LiteRT's class of this name: has the process at the other end of its standard input
 * and output run the real interpreter.
 */
public final class Interpreter {
  private final DataInputStream in = new DataInputStream(System.in);
  private final DataOutputStream out =
      new DataOutputStream(new BufferedOutputStream(System.out, 1 << 20));
  private final Map<String, Tensor> inputs;
  private final Map<String, Tensor> outputs;

  public Interpreter() throws IOException {
    inputs = tensors();
    outputs = tensors();
  }

  private Map<String, Tensor> tensors() throws IOException {
    Map<String, Tensor> found = new LinkedHashMap<>();
    int count = in.readInt();
    for (int i = 0; i < count; i++) {
      String name = in.readUTF();
      DataType type = in.readBoolean() ? DataType.FLOAT32 : DataType.INT8;
      found.put(name, new Tensor(type, in.readInt(), in.readFloat(), in.readInt()));
    }
    return found;
  }

  public String[] getSignatureInputs(String key) {
    return inputs.keySet().toArray(new String[0]);
  }

  public String[] getSignatureOutputs(String key) {
    return outputs.keySet().toArray(new String[0]);
  }

  public Tensor getInputTensorFromSignature(String name, String key) {
    return inputs.get(name);
  }

  public Tensor getOutputTensorFromSignature(String name, String key) {
    return outputs.get(name);
  }

  /** Inputs are read from their beginning, outputs written where their buffers stand. */
  public void runSignature(Map<String, Object> given, Map<String, Object> wanted, String key) {
    try {
      for (Map.Entry<String, Tensor> tensor : inputs.entrySet()) {
        byte[] bytes = new byte[tensor.getValue().numBytes()];
        ByteBuffer source = ((ByteBuffer) given.get(tensor.getKey())).duplicate();
        source.rewind();
        source.get(bytes);
        out.write(bytes);
      }
      out.flush();
      for (Map.Entry<String, Tensor> tensor : outputs.entrySet()) {
        byte[] bytes = new byte[tensor.getValue().numBytes()];
        in.readFully(bytes);
        ((ByteBuffer) wanted.get(tensor.getKey())).put(bytes);
      }
    } catch (IOException error) {
      throw new IllegalStateException(error);
    }
  }
}
