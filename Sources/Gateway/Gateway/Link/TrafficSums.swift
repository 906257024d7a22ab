/// What the records of one batch add up to by line, with numbers for the names. Used by one thread at a time.
///
/// Lines of the batch stand in a small table at a place that their numbers give. Where two share a place, the one that was there
/// goes to a list first: a line may be handed out in several parts.
struct TrafficSums {
    /// A line, with numbers for its names.
    struct Key: Hashable, BitwiseCopyable {
        var route: UInt32
        var application: UInt32
        /// Milliseconds since 1970 when the minute began.
        var minute: Int64
        /// 1 to 5.
        var statusClass: UInt8
    }

    private struct Place: BitwiseCopyable {
        var key: Key
        /// Without requests: free.
        var sums: TrafficBatch.Sums
    }

    private static let placesCount: Int = 256
    private static let millisecondsPerMinute: Int64 = 60_000

    private var places: [Place] = []
    /// Places that were taken for this batch.
    private var used: [Int] = []
    private var displaced: [Place] = []

    /// Adds the records that have a route.
    mutating func add(_ records: [RequestRecord]) {
        if self.places.isEmpty {
            let free: Place = Place(
                key: Key(route: 0, application: 0, minute: 0, statusClass: 1), sums: TrafficBatch.Sums())
            self.places = [Place](repeating: free, count: Self.placesCount)
        }
        records.withUnsafeBufferPointer { (records: UnsafeBufferPointer<RequestRecord>) in
            self.places.withUnsafeMutableBufferPointer { (places: inout UnsafeMutableBufferPointer<Place>) in
                var minute: Int64 = .min
                for record in records where record.route != .none {
                    let started: Int64 = record.started / 1_000_000
                    if started < minute || started >= minute &+ Self.millisecondsPerMinute {
                        minute = started - started % Self.millisecondsPerMinute
                    }
                    let key: Key = Key(
                        route: record.route.value, application: record.application.value, minute: minute,
                        statusClass: UInt8(min(max(record.status / 100, 1), 5)))
                    let index: Int = Self.place(of: key)
                    if places[index].sums.requests == 0 {
                        places[index].key = key
                        self.used.append(index)
                    } else if places[index].key != key {
                        self.displaced.append(places[index])
                        places[index] = Place(key: key, sums: TrafficBatch.Sums())
                    }
                    places[index].sums.add(record)
                }
            }
        }
    }

    @inline(__always)
    private static func place(of key: Key) -> Int {
        let numbers: UInt64 = UInt64(key.route) << 32 | UInt64(key.application)
        let mixed: UInt64 = (numbers ^ UInt64(key.statusClass) << 29) &* 0x9E37_79B9_7F4A_7C15
        return Int(truncatingIfNeeded: mixed >> 56)
    }

    /// Calls with every line, or part of one, and forgets them.
    mutating func takeEach(_ body: (Key, TrafficBatch.Sums) -> Void) {
        for place in self.displaced { body(place.key, place.sums) }
        self.displaced.removeAll(keepingCapacity: true)
        for index in self.used {
            body(self.places[index].key, self.places[index].sums)
            self.places[index].sums = TrafficBatch.Sums()
        }
        self.used.removeAll(keepingCapacity: true)
    }
}

extension TrafficBatch.Sums {
    @inline(__always)
    mutating func add(_ record: RequestRecord) {
        let duration: Int64 = Int64(record.durationMicroseconds)
        self.requests += 1
        self.durationMicroseconds += duration
        self.durationMicrosecondsMax = max(self.durationMicrosecondsMax, duration)
        self.bytesIn += Int64(clamping: record.bytesIn)
        self.bytesOut += Int64(clamping: record.bytesOut)
    }

    mutating func add(_ other: TrafficBatch.Sums) {
        self.requests += other.requests
        self.durationMicroseconds += other.durationMicroseconds
        self.durationMicrosecondsMax = max(self.durationMicrosecondsMax, other.durationMicrosecondsMax)
        self.bytesIn += other.bytesIn
        self.bytesOut += other.bytesOut
    }
}
