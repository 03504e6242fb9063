import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Arrays;
import org.tensorflow.lite.Interpreter;

/** Main VIDEO FRAMES PIXELS ANSWERS: classifies the frames in a file of bytes, after a reset. */
public final class Main {
  public static void main(String[] arguments) throws Exception {
    byte[] video = Files.readAllBytes(Paths.get(arguments[0]));
    int frames = Integer.parseInt(arguments[1]);
    float pixels = Float.parseFloat(arguments[2]);
    int size = video.length / frames;
    StreamClassifier classifier = new StreamClassifier(new Interpreter());
    classifier.classify(Arrays.copyOfRange(video, size, 2 * size), pixels);
    classifier.reset();
    try (PrintStream answers = new PrintStream(arguments[3])) {
      for (int i = 0; i < frames; i++) {
        byte[] frame = Arrays.copyOfRange(video, i * size, (i + 1) * size);
        answers.println(Arrays.toString(classifier.classify(frame, pixels)));
      }
    }
  }
}
