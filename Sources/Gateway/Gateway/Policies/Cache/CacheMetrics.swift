import Synchronization
import Telemetry

extension LiveState {
    /// Numbers of the cache that are read when metrics are scraped.
    func publishCache(in registry: MetricRegistry) {
        let cache: CacheStore = self.cache
        registry.gauge("passerelle_gateway_cache_entries", help: "Responses stored now.") { Double(cache.count) }
        registry.gauge("passerelle_gateway_cache_bytes", help: "Bytes of the responses stored now.") {
            Double(cache.bytes)
        }
        registry.samples(
            "passerelle_gateway_cache_requests_total", kind: .counter,
            help: "Requests the cache answered, and those it had to pass on."
        ) {
            [
                MetricSample(labels: ["result": "hit"], value: Double(cache.hits.load(ordering: .relaxed))),
                MetricSample(labels: ["result": "miss"], value: Double(cache.misses.load(ordering: .relaxed))),
            ]
        }
        registry.samples(
            "passerelle_gateway_cache_evicted_total", kind: .counter, help: "Responses that made room for others."
        ) { [MetricSample(labels: [:], value: Double(cache.evictions.load(ordering: .relaxed)))] }
    }
}
