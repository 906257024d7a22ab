/// What a limit means where several gateways run the same snapshot.
package enum LimitScope: String, Sendable, Equatable, CaseIterable {
    /// Each of the live gateways admits its part.
    case divided
    /// Each gateway admits all of it.
    case gateway
    /// Counted together through the shared counters (`counters.redis`), off the request's path: between two exchanges of counts
    /// gateways may together admit what arrives in that time beyond the limit. Without shared counters: as `divided`.
    case shared
}
