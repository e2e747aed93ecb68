import io.spiffe.bundle.x509bundle.X509Bundle;
import io.spiffe.svid.x509svid.X509Svid;
import io.spiffe.workloadapi.DefaultWorkloadApiClient;
import io.spiffe.workloadapi.Watcher;
import io.spiffe.workloadapi.X509Context;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Collectors;

/** Watches the Workload API with java-spiffe, and prints each update as a line of JSON. */
public final class Watch {
  public static void main(String[] args) throws Exception {
    try (var client = DefaultWorkloadApiClient.newClient()) {
      client.watchX509Context(new Watcher<X509Context>() {
        @Override
        public void onUpdate(X509Context context) {
          var svids = context.getX509Svids();
          var bundles = context.getX509BundleSet().getBundles().values();
          System.out.printf(
              "{\"ids\":%s,\"serial\":\"%s\",\"domains\":%s,\"roots\":%d}%n",
              list(svids.stream().map(X509Svid::getSpiffeId).map(Object::toString).toList()),
              context.getDefaultSvid().getLeaf().getSerialNumber().toString(16),
              list(bundles.stream().map(X509Bundle::getTrustDomain).map(d -> "spiffe://" + d.getName()).sorted().toList()),
              bundles.stream().mapToInt(bundle -> bundle.getX509Authorities().size()).sum());
        }

        @Override
        public void onError(Throwable error) {
          System.out.printf("{\"error\":\"%s\"}%n", error.getClass().getSimpleName());
        }
      });
      new CountDownLatch(1).await();
    }
  }

  private static String list(List<String> texts) {
    return texts.stream().map(text -> '"' + text + '"').collect(Collectors.joining(",", "[", "]"));
  }
}
