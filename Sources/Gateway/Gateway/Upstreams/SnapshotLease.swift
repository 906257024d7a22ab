import GatewayConfiguration

/// A snapshot as one loop uses it: exchanges that began on it keep it until they are over, also when a newer one is live.
///
/// Counted by plain numbers on one loop: taking and giving it back costs no atomic operation. What exchanges refer to without
/// a count of its own (upstream groups, header changes) lives at least as long.
final class SnapshotLease {
    let snapshot: Snapshot
    /// One for each place of an API in the snapshot, made when a request first needs it.
    private var groups: [UpstreamGroup?]
    /// Those of routes with an upstream of their own, by `RouteRules.upstream`.
    private var ownGroups: [Int32: UpstreamGroup] = [:]
    var exchanges: Int = 0

    init(_ snapshot: Snapshot) {
        self.snapshot = snapshot
        self.groups = [UpstreamGroup?](repeating: nil, count: snapshot.placeCount)
    }

    @inline(__always)
    func group(_ index: Int32, _ loop: GatewayLoop) -> Unmanaged<UpstreamGroup> {
        if index < 0 { return self.ownGroup(index, loop) }
        if let group: UpstreamGroup = self.groups[Int(index)] { return .passUnretained(group) }
        return self.makeGroup(index, loop)
    }

    private func ownGroup(_ index: Int32, _ loop: GatewayLoop) -> Unmanaged<UpstreamGroup> {
        if let group: UpstreamGroup = self.ownGroups[index] { return .passUnretained(group) }
        return self.makeGroup(index, loop)
    }

    private func makeGroup(_ index: Int32, _ loop: GatewayLoop) -> Unmanaged<UpstreamGroup> {
        let upstream: CompiledUpstream = self.snapshot.upstream(index)
        var pools: [(pool: TargetPool, weight: Int)] = []
        for target in upstream.targets { pools.append((loop.pool(target, of: upstream), target.weight)) }
        let steering: Steering? = upstream.plan.map {
            Steering($0, state: upstream.state, pools: pools, zone: loop.zone)
        }
        let group: UpstreamGroup = UpstreamGroup(
            pools: pools, preservesHost: upstream.definition.preserveHost, steering: steering)
        if index < 0 { self.ownGroups[index] = group } else { self.groups[Int(index)] = group }
        return .passUnretained(group)
    }
}
