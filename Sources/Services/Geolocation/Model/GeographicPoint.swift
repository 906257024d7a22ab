import Glibc

/// A point on the earth, in degrees (WGS 84 taken as a sphere).
package struct GeographicPoint: Sendable, Hashable {
    package static let latitudes: ClosedRange<Double> = -90...90
    package static let longitudes: ClosedRange<Double> = -180...180
    /// Mean radius of the earth, kilometres (IUGG R1).
    package static let earthRadiusKilometres: Double = 6_371.0088
    /// The farthest two points can be from each other: half of the circumference, rounded up.
    package static let distanceMaxKilometres: Double = 20_016

    /// North positive, −90 to 90.
    package let latitude: Double
    /// East positive, −180 to 180; both ends are the same meridian.
    package let longitude: Double

    /// - Returns: nil outside of the ranges.
    package init?(latitude: Double, longitude: Double) {
        guard Self.latitudes.contains(latitude), Self.longitudes.contains(longitude) else { return nil }
        self.latitude = latitude
        self.longitude = longitude
    }

    /// Great-circle distance in kilometres by the haversine formula: exact at the poles and across the 180th meridian, where
    /// differences of degrees are not.
    package func distance(to other: GeographicPoint) -> Double {
        let degree: Double = .pi / 180
        let halfLatitude: Double = sin((other.latitude - self.latitude) * degree / 2)
        let halfLongitude: Double = sin((other.longitude - self.longitude) * degree / 2)
        let haversine: Double =
            halfLatitude * halfLatitude
            + cos(self.latitude * degree) * cos(other.latitude * degree) * halfLongitude * halfLongitude
        // Rounding can lift antipodes a hair above 1, where asin has no value.
        return 2 * Self.earthRadiusKilometres * asin(min(1, haversine.squareRoot()))
    }
}

/// The degrees a circle on the earth spans: what a grid has to be searched for.
struct SearchArea: Equatable {
    /// Added on every side, degrees: rounding must not lose a point on the rim (about a tenth of a millimetre).
    private static let margin: Double = 1e-9

    let latitudes: ClosedRange<Double>
    /// Western rim, and how many degrees from there eastwards; 360 where the circle holds a pole.
    let west: Double
    let width: Double

    /// - Parameter radius: kilometres, not negative.
    init(around centre: GeographicPoint, radius: Double) {
        let degree: Double = .pi / 180
        let angle: Double = radius / GeographicPoint.earthRadiusKilometres
        let south: Double = centre.latitude - angle / degree - Self.margin
        let north: Double = centre.latitude + angle / degree + Self.margin
        self.latitudes = max(south, -90)...min(max(north, -90), 90)
        if south <= -90 || north >= 90 {
            self.west = -180
            self.width = 360
            return
        }
        // The meridians that touch the circle, which is not at the latitude of its centre. No pole inside: the sine is below 1.
        let half: Double = asin(min(1, sin(angle) / cos(centre.latitude * degree))) / degree + Self.margin
        self.west = centre.longitude - half
        self.width = min(2 * half, 360)
    }
}
