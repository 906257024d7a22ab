import Bytes
import Synchronization

/// What the service keeps in memory: users spread over 16 shards by CRC-32C of their id, each with its own lock, cache and
/// part of the spatial index.
package final class LocationShards: Sendable {
    package static let count: Int = 16
    /// Most users in the index: beyond it new ones are refused. About 250 bytes each.
    package static let usersMax: Int = 1_000_000
    /// Locations cached in each shard.
    package static let cachedMax: Int = 16_384

    private struct Content {
        var cache: LocationCache = LocationCache(capacity: LocationShards.cachedMax)
        var index: SpatialIndex = SpatialIndex()
        /// Version of each indexed user's location: what is older than that comes too late.
        var versions: [String: Int64] = [:]
    }

    /// A lock is an address: a class of its own for each.
    private final class Shard: Sendable {
        let content: Mutex<Content> = Mutex(Content())
    }

    private let shards: [Shard]
    private let usersMax: Int

    package init(usersMax: Int = LocationShards.usersMax) {
        self.usersMax = usersMax
        var shards: [Shard] = []
        for _ in 0..<Self.count { shards.append(Shard()) }
        self.shards = shards
    }

    /// Which shard a user belongs to.
    package static func shard(of userID: String) -> Int {
        Int(CRC32C.checksum(Array(userID.utf8)) % UInt32(Self.count))
    }

    /// Whether no further user is taken.
    package var isFull: Bool { self.userCount >= self.usersMax }

    /// Users in the index.
    package var userCount: Int {
        var count: Int = 0
        for shard in self.shards { count += shard.content.withLock { $0.index.count } }
        return count
    }

    /// Takes note of a committed location, in the cache and the index. Older ones than known are ignored, so the order of calls
    /// does not matter.
    package func note(_ location: UserLocation, now: UInt64) {
        self.shard(location.userID).content.withLock { content in
            content.cache.keep(location, now: now)
            Self.place(location, in: &content)
        }
    }

    /// Takes a location from the store into the index only: start-up fills no cache.
    package func index(_ location: UserLocation) {
        self.shard(location.userID).content.withLock { content in Self.place(location, in: &content) }
    }

    package func cached(_ userID: String, now: UInt64) -> UserLocation? {
        self.shard(userID).content.withLock { $0.cache.location(of: userID, now: now) }
    }

    /// Caches what the store answered.
    package func cache(_ location: UserLocation, now: UInt64) {
        self.shard(location.userID).content.withLock { $0.cache.keep(location, now: now) }
    }

    /// The nearest users over all shards; the locks are taken one after the other.
    package func neighbours(of centre: GeographicPoint, radius: Double, limit: Int) -> [SpatialIndex.Neighbour] {
        var nearest: NearestList = NearestList(limit: limit)
        for shard in self.shards {
            let found: [SpatialIndex.Neighbour] = shard.content.withLock {
                $0.index.neighbours(of: centre, radius: radius, limit: limit)
            }
            for neighbour in found { nearest.insert(neighbour) }
        }
        return nearest.items
    }

    private static func place(_ location: UserLocation, in content: inout Content) {
        if let known: Int64 = content.versions[location.userID], known >= location.version { return }
        content.versions[location.userID] = location.version
        content.index.place(location.userID, at: location.point)
    }

    private func shard(_ userID: String) -> Shard { self.shards[Self.shard(of: userID)] }
}
