package import JSON
package import Time

/// Where a user was last seen.
package struct UserLocation: Sendable, Equatable {
    /// Longest user id, bytes.
    package static let userIDBytesMax: Int = 128
    /// Largest accuracy that says anything: half of the circumference of the earth, metres.
    package static let accuracyMaxMetres: Double = 20_016_000

    package let userID: String
    package let point: GeographicPoint
    /// Radius within which the user really was, metres; above 0.
    package let accuracy: Double
    package let timestamp: Timestamp
    /// Counts the user's locations from 1: the larger is the later, whatever the clock says.
    package let version: Int64

    package init(userID: String, point: GeographicPoint, accuracy: Double, timestamp: Timestamp, version: Int64) {
        self.userID = userID
        self.point = point
        self.accuracy = accuracy
        self.timestamp = timestamp
        self.version = version
    }

    /// The JSON form, also the value of the topic `location-events`.
    package var json: JSONObject {
        [
            "user_id": .string(self.userID), "latitude": .double(self.point.latitude),
            "longitude": .double(self.point.longitude), "accuracy": .double(self.accuracy),
            "timestamp": .string(self.timestamp.rfc3339),
        ]
    }

    /// The body of `POST /locate`, as JSON Schema 2020-12.
    package static let schema: JSONValue = .object([
        "type": "object",
        "required": .array(["user_id", "latitude", "longitude", "accuracy"]),
        "additionalProperties": false,
        "properties": .object([
            "user_id": .object(["type": "string", "minLength": 1, "maxLength": .int(Int64(Self.userIDBytesMax))]),
            "latitude": .object(["type": "number", "minimum": -90, "maximum": 90]),
            "longitude": .object(["type": "number", "minimum": -180, "maximum": 180]),
            "accuracy": .object([
                "type": "number", "exclusiveMinimum": 0, "maximum": .double(Self.accuracyMaxMetres),
            ]),
        ]),
    ])

    /// What a user id must be beside a short text, or nil when it is that.
    package static func problem(withUserID userID: String) -> String? {
        guard !userID.isEmpty, userID.utf8.count <= Self.userIDBytesMax else {
            return "expected 1 to \(Self.userIDBytesMax) bytes"
        }
        for scalar in userID.unicodeScalars where scalar.value < 0x20 || scalar.value == 0x7F {
            return "expected no control characters"
        }
        return nil
    }
}
