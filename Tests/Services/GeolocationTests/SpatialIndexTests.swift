import Testing

@testable import Geolocation

@Suite struct SpatialIndexTests {
    private func index(_ places: [(String, GeographicPoint)]) -> SpatialIndex {
        var index: SpatialIndex = SpatialIndex()
        for (user, place) in places { index.place(user, at: place) }
        return index
    }

    private func users(_ found: [SpatialIndex.Neighbour]) -> [String] { found.map(\.userID) }

    @Test func theNearestComeFirstAndTheRimBelongsToTheCircle() {
        let index: SpatialIndex = self.index([
            ("far", point(48.9, 2.35)), ("here", point(48.8566, 2.3522)), ("near", point(48.86, 2.36)),
            ("london", point(51.5, -0.12)),
        ])
        let centre: GeographicPoint = point(48.8566, 2.3522)
        let found: [SpatialIndex.Neighbour] = index.neighbours(of: centre, radius: 10, limit: 10)
        #expect(self.users(found) == ["here", "near", "far"])
        #expect(found[0].distanceKilometres == 0)
        let rim: Double = found[2].distanceKilometres
        #expect(self.users(index.neighbours(of: centre, radius: rim, limit: 10)) == ["here", "near", "far"])
        #expect(self.users(index.neighbours(of: centre, radius: rim.nextDown, limit: 10)) == ["here", "near"])
        #expect(self.users(index.neighbours(of: centre, radius: 10, limit: 2)) == ["here", "near"])
        #expect(self.users(index.neighbours(of: centre, radius: 0, limit: 2)) == ["here"])
    }

    @Test func equalDistancesAreOrderedByID() {
        let place: GeographicPoint = point(1, 1)
        let index: SpatialIndex = self.index([("c", place), ("a", place), ("b", place)])
        #expect(self.users(index.neighbours(of: place, radius: 1, limit: 2)) == ["a", "b"])
    }

    @Test func someoneWhoMovedIsFoundOnlyAtTheLastPlace() {
        var index: SpatialIndex = self.index([("a", point(10, 10))])
        index.place("a", at: point(10.01, 10.01))
        index.place("a", at: point(-20, 30))
        #expect(index.count == 1)
        #expect(index.neighbours(of: point(10, 10), radius: 100, limit: 5).isEmpty)
        #expect(self.users(index.neighbours(of: point(-20, 30), radius: 1, limit: 5)) == ["a"])
        index.remove("a")
        index.remove("a")
        #expect(index.count == 0 && index.neighbours(of: point(-20, 30), radius: 1, limit: 5).isEmpty)
    }

    @Test func neighboursAcrossTheAntimeridianAreFound() {
        let index: SpatialIndex = self.index([
            ("east", point(-17, 179.99)), ("west", point(-17, -179.99)), ("on", point(-17, 180)),
            ("alsoOn", point(-17, -180)),
        ])
        for centre in [point(-17, 179.995), point(-17, -179.995), point(-17, 180), point(-17, -180)] {
            #expect(
                Set(self.users(index.neighbours(of: centre, radius: 5, limit: 9))) == ["east", "west", "on", "alsoOn"])
        }
    }

    @Test func neighboursAroundAPoleAreFound() {
        let index: SpatialIndex = self.index([
            ("pole", point(90, 0)), ("a", point(89.95, 0)), ("b", point(89.95, 180)), ("c", point(89.95, -90)),
            ("off", point(89, 90)),
        ])
        #expect(self.users(index.neighbours(of: point(89.99, 55), radius: 15, limit: 9)).first == "pole")
        #expect(Set(self.users(index.neighbours(of: point(90, 77), radius: 10, limit: 9))) == ["pole", "a", "b", "c"])
        let south: SpatialIndex = self.index([("s", point(-90, 170)), ("t", point(-89.99, -3))])
        #expect(self.users(south.neighbours(of: point(-90, 0), radius: 2, limit: 9)) == ["s", "t"])
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func findsWhatLookingAtEverybodyFinds(seed: UInt64) {
        var random: SplitMix = SplitMix(state: seed)
        var people: [(String, GeographicPoint)] = []
        for number in 0..<2_000 {
            // A third around the poles and the antimeridian, where mistakes are made.
            let kind: UInt64 = random.next() % 6
            let latitude: Double =
                kind == 0 ? Double.random(in: 89...90, using: &random) : Double.random(in: -90...90, using: &random)
            let offset: Double = Double.random(in: 0...0.3, using: &random)
            let longitude: Double =
                kind == 1 ? 180 - offset : kind == 2 ? offset - 180 : Double.random(in: -180...180, using: &random)
            people.append(("u\(number)", point(latitude, longitude)))
        }
        let index: SpatialIndex = self.index(people)
        for step in 0..<120 {
            let centre: GeographicPoint =
                step.isMultiple(of: 3)
                ? people[step * 7].1
                : point(Double.random(in: -90...90, using: &random), Double.random(in: -180...180, using: &random))
            let radius: Double = [0.5, 12, 300, 2_000, 9_000, 20_016][step % 6]
            var expected: [String] = []
            for (user, place) in people where centre.distance(to: place) <= radius { expected.append(user) }
            let found: [SpatialIndex.Neighbour] = index.neighbours(of: centre, radius: radius, limit: 5_000)
            #expect(self.users(found).sorted() == expected.sorted(), "seed \(seed), step \(step)")
            #expect(zip(found, found.dropFirst()).allSatisfy { $0.distanceKilometres <= $1.distanceKilometres })
            #expect(index.neighbours(of: centre, radius: radius, limit: 7) == Array(found.prefix(7)))
        }
    }
}

/// Random numbers that repeat for a seed (SplitMix64).
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var mixed: UInt64 = self.state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
