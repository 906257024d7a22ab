import Testing

@testable import Geolocation

/// A point that is known to be one.
func point(_ latitude: Double, _ longitude: Double) -> GeographicPoint {
    guard let point: GeographicPoint = GeographicPoint(latitude: latitude, longitude: longitude) else {
        preconditionFailure("\(latitude), \(longitude) is no point of the earth")
    }
    return point
}

@Suite struct GeographicPointTests {
    /// A quarter of a meridian on the sphere that is used.
    private let quarter: Double = 6_371.0088 * Double.pi / 2

    @Test(
        arguments: [
            // Well-known pairs; kilometres on the mean sphere.
            (48.8566, 2.3522, 51.5074, -0.1278, 343.6), (40.7128, -74.0060, 34.0522, -118.2437, 3_935.8),
            (35.6762, 139.6503, -33.8688, 151.2093, 7_825.9), (0, 0, 0, 1, 111.195),
        ] as [(Double, Double, Double, Double, Double)])
    func distancesAreThoseOfTheSphere(from: Double, _ fromEast: Double, to: Double, _ toEast: Double, expected: Double)
    {
        let distance: Double = point(from, fromEast).distance(to: point(to, toEast))
        #expect(abs(distance - expected) < expected * 0.001)
        #expect(distance == point(to, toEast).distance(to: point(from, fromEast)))
    }

    @Test func atAPoleEveryLongitudeIsTheSamePlace() {
        #expect(point(90, 0).distance(to: point(90, 137)) < 1e-6)
        #expect(point(-90, -180).distance(to: point(-90, 12)) < 1e-6)
        #expect(abs(point(90, 45).distance(to: point(0, -120)) - self.quarter) < 1e-6)
        // Over the pole, not around it.
        #expect(abs(point(89, 0).distance(to: point(89, 180)) - 2 * self.quarter / 90) < 1e-6)
    }

    @Test func theAntimeridianIsNoBorder() {
        #expect(abs(point(0, 179.5).distance(to: point(0, -179.5)) - 111.195) < 0.01)
        #expect(point(12, 180).distance(to: point(12, -180)) < 1e-6)
    }

    @Test func antipodesAreHalfTheCircumferenceApart() {
        for latitude in stride(from: -90.0, through: 90, by: 7.5) {
            let distance: Double = point(latitude, 33).distance(to: point(-latitude, -147))
            #expect(abs(distance - 2 * self.quarter) < 1e-3 && distance <= GeographicPoint.distanceMaxKilometres)
        }
    }

    @Test(
        arguments: [(90.0000001, 0), (-91, 0), (0, 180.0001), (0, -181), (.nan, 0), (0, .infinity)]
            as [(Double, Double)])
    func whatIsNotOnTheEarthIsNoPoint(latitude: Double, longitude: Double) {
        #expect(GeographicPoint(latitude: latitude, longitude: longitude) == nil)
    }

    @Test func theAreaOfACircleWithAPoleHasAllLongitudes() {
        let area: SearchArea = SearchArea(around: point(89.5, 20), radius: 100)
        #expect(area.width == 360 && area.latitudes.upperBound == 90)
        let plain: SearchArea = SearchArea(around: point(0, 0), radius: 111.195)
        #expect(abs(plain.width - 2) < 0.001 && abs(plain.latitudes.upperBound - 1) < 0.001)
        #expect(SearchArea(around: point(0, 0), radius: GeographicPoint.distanceMaxKilometres).width == 360)
    }
}
