/// Who may be chosen for one request: each target's weight at the moment, less those that were tried or stand elsewhere.
struct Candidates {
    /// Any zone, any version.
    static let any: UInt8 = .max

    /// What each target weighs now; 0: it takes no part.
    let weights: [Int]
    /// Each target's zone: 1 in the gateway's own, 0 elsewhere.
    let zones: [UInt8]
    /// Each target's version by its place among the versions.
    let versions: [UInt8]
    var zone: UInt8 = Candidates.any
    var version: UInt8 = Candidates.any
    var tried: MemberSet = MemberSet()

    var count: Int { self.weights.count }

    /// 0 for one that cannot be chosen.
    @inline(__always)
    func weight(_ index: Int) -> Int {
        if self.zone != Candidates.any, self.zones[index] != self.zone { return 0 }
        if self.version != Candidates.any, self.versions[index] != self.version { return 0 }
        if !self.tried.isEmpty, self.tried.contains(index) { return 0 }
        return self.weights[index]
    }
}
