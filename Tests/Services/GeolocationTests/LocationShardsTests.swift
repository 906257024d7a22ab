import Testing
import Time

@testable import Geolocation

@Suite struct LocationShardsTests {
    private let second: UInt64 = 1_000_000_000

    private func location(_ userID: String, version: Int64 = 1, latitude: Double = 1) -> UserLocation {
        UserLocation(
            userID: userID, point: point(latitude, 2), accuracy: 5,
            timestamp: Timestamp(milliseconds: 1_767_225_600_000),
            version: version)
    }

    @Test(arguments: [("123456789", 3), ("", 0), ("alice", 14)])
    func shardsGoByTheChecksumOfTheID(userID: String, shard: Int) {
        // CRC-32C of "123456789" is 0xE3069283 (RFC 3720's check value), of nothing 0, of "alice" 0xFB02028E.
        #expect(LocationShards.shard(of: userID) == shard)
    }

    @Test func usersSpreadOverAllShards() {
        var users: [Int: Int] = [:]
        for number in 0..<1_600 { users[LocationShards.shard(of: "user-\(number)"), default: 0] += 1 }
        #expect(users.count == 16 && users.values.allSatisfy { $0 > 50 })
    }

    @Test func aLocationIsCachedForAnHour() {
        var cache: LocationCache = LocationCache(capacity: 4)
        cache.keep(self.location("a"), now: 10)
        #expect(cache.location(of: "a", now: 10 + 3_600 * self.second - 1)?.userID == "a")
        #expect(cache.location(of: "a", now: 10 + 3_600 * self.second) == nil)
        #expect(cache.location(of: "b", now: 10) == nil)
        cache.keep(self.location("b"), now: 10 + 3_600 * self.second)
        #expect(cache.count == 1, "what expired is gone")
    }

    @Test func theOneCachedLongestMakesRoom() {
        var cache: LocationCache = LocationCache(capacity: 2)
        cache.keep(self.location("a"), now: 1)
        cache.keep(self.location("b"), now: 2)
        cache.keep(self.location("a", version: 2), now: 3)
        cache.keep(self.location("c"), now: 4)
        #expect(cache.count == 2)
        #expect(cache.location(of: "a", now: 5)?.version == 2)
        #expect(cache.location(of: "b", now: 5) == nil && cache.location(of: "c", now: 5) != nil)
        for number in 0..<1_000 { cache.keep(self.location("a", version: Int64(3 + number)), now: UInt64(6 + number)) }
        #expect(cache.count == 2 && cache.location(of: "c", now: 1_010) != nil)
        cache.remove("a")
        #expect(cache.count == 1)
    }

    @Test func anOlderLocationNeverReplacesALaterOne() {
        let shards: LocationShards = LocationShards()
        shards.note(self.location("a", version: 2, latitude: 50), now: 1)
        shards.note(self.location("a", version: 1, latitude: 10), now: 2)
        shards.index(self.location("a", version: 1, latitude: 10))
        #expect(shards.cached("a", now: 3)?.version == 2)
        #expect(shards.neighbours(of: point(50, 2), radius: 1, limit: 3).map(\.userID) == ["a"])
        #expect(shards.neighbours(of: point(10, 2), radius: 1, limit: 3).isEmpty)
        #expect(shards.userCount == 1)
    }

    @Test func theNearestOverAllShardsComeInOrder() {
        let shards: LocationShards = LocationShards()
        for number in 0..<200 { shards.note(self.location("u\(number)", latitude: Double(number) / 10), now: 1) }
        let found: [SpatialIndex.Neighbour] = shards.neighbours(of: point(5.01, 2), radius: 500, limit: 4)
        #expect(found.map(\.userID) == ["u50", "u51", "u49", "u52"])
    }

    @Test func aUserIDHasNoControlCharacters() {
        #expect(UserLocation.problem(withUserID: "usr_1 é") == nil)
        #expect(UserLocation.problem(withUserID: "a\nb") != nil && UserLocation.problem(withUserID: "") != nil)
        #expect(UserLocation.problem(withUserID: String(repeating: "é", count: 65)) != nil)
    }
}
