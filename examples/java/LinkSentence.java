import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.stub.MetadataUtils;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.bioelx.v1.Document;
import org.bioelx.v1.EntityLinkerGrpc;
import org.bioelx.v1.Link;
import org.bioelx.v1.LinkOptions;
import org.bioelx.v1.LinkReply;
import org.bioelx.v1.LinkRequest;
import org.bioelx.v1.Mention;
import org.bioelx.v1.OffsetUnit;

/**
 * Links the mention of one sentence, from linker.proto alone; docs/clients.md says how to build it.
 *
 * <p>Arguments: a target (host:port, or dns:///name:port for all servers of a name), a text, and where
 * the mention begins and ends in it. BIOELX_TOKEN_FILE names a file with a
 * token; the connection is then encrypted, by an authority in Java's trust store.
 */
public final class LinkSentence {
  private static final String SERVICE = "bioelx.v1.EntityLinker";

  /**
   * What gRPC does for each call: the form is that of all its libraries. A stream (LinkStream) is
   * not to be begun again.
   */
  private static final Map<String, ?> SERVICE_CONFIG =
      Map.of(
          "loadBalancingConfig", List.of(Map.of("round_robin", Map.of())),
          "methodConfig",
              List.of(
                  Map.of(
                      "name",
                          List.of(
                              Map.of("service", SERVICE, "method", "Link"),
                              Map.of("service", SERVICE, "method", "Search"),
                              Map.of("service", SERVICE, "method", "GetConcept"),
                              Map.of("service", SERVICE, "method", "Info")),
                      "retryPolicy",
                          Map.of(
                              "maxAttempts", 5.0,
                              "initialBackoff", "0.1s",
                              "maxBackoff", "5s",
                              "backoffMultiplier", 2.0,
                              "retryableStatusCodes",
                                  List.of("UNAVAILABLE", "RESOURCE_EXHAUSTED")))));

  public static void main(String[] arguments) throws Exception {
    String text = arguments[1];
    Mention mention =
        Mention.newBuilder()
            .setId("m1")
            .setStart(Long.parseLong(arguments[2]))
            .setEnd(Long.parseLong(arguments[3]))
            .build();
    Document document =
        Document.newBuilder()
            .setId("note-1")
            .setText(text)
            // What String.length and String.indexOf count.
            .setOffsetUnit(OffsetUnit.OFFSET_UNIT_UTF16)
            .addMentions(mention)
            .build();
    LinkRequest request =
        LinkRequest.newBuilder()
            .addDocuments(document)
            .setOptions(LinkOptions.newBuilder().setTopK(3))
            .build();

    String tokenFile = System.getenv("BIOELX_TOKEN_FILE");
    // One channel for all calls: it keeps its connections.
    ManagedChannelBuilder<?> builder =
        ManagedChannelBuilder.forTarget(arguments[0])
            .defaultServiceConfig(SERVICE_CONFIG)
            .enableRetry();
    ManagedChannel channel = (tokenFile == null ? builder.usePlaintext() : builder).build();
    try {
      EntityLinkerGrpc.EntityLinkerBlockingStub linker = EntityLinkerGrpc.newBlockingStub(channel);
      if (tokenFile != null) {
        Metadata metadata = new Metadata();
        metadata.put(
            Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER),
            "Bearer " + Files.readString(Path.of(tokenFile)).strip());
        linker = linker.withInterceptors(MetadataUtils.newAttachHeadersInterceptor(metadata));
      }
      LinkReply reply = linker.withDeadlineAfter(30, TimeUnit.SECONDS).link(request);
      for (Link link : reply.getDocuments(0).getLinksList()) {
        System.out.printf(
            "%s %s %.3f%n", link.getMentionId(), link.getConceptId(), link.getConfidence());
      }
    } finally {
      channel.shutdown().awaitTermination(5, TimeUnit.SECONDS);
    }
  }
}
