package org.tensorflow.lite;

/** Stand-in for LiteRT's class of this name. */
public enum DataType {
  FLOAT32,
  INT8
}
