package import Time

/// Where reading of a topic goes on: for each partition the offset of the next record.
///
/// As text `0:12,1:7,2:0`, one pair for every partition: what REST hands out as a cursor.
package struct LogPosition: Sendable, Equatable {
    /// By partition.
    package internal(set) var offsets: [Int64]

    package init(offsets: [Int64]) { self.offsets = offsets }

    /// Reads the text form. Every partition appears once, in order.
    package init(_ text: String) throws(LogError) {
        var offsets: [Int64] = []
        for pair: Substring in text.split(separator: ",", omittingEmptySubsequences: false) {
            let parts: [Substring] = pair.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count == 2, Int(parts[0]) == offsets.count, offsets.count < LogLimits.partitionsMax,
                let offset: Int64 = Int64(parts[1]), offset >= 0
            else { throw .invalidPosition(String(text.prefix(256))) }
            offsets.append(offset)
        }
        self.offsets = offsets
    }

    package var text: String {
        var text: String = ""
        for (partition, offset): (Int, Int64) in self.offsets.enumerated() {
            if partition > 0 { text += "," }
            text += "\(partition):\(offset)"
        }
        return text
    }
}

/// Where to begin reading a topic.
package enum LogStart: Sendable, Equatable {
    /// With the oldest record that is there.
    case earliest
    /// With the next record to come.
    case latest
    /// With the first record at or after this moment.
    case time(Timestamp)
    case position(LogPosition)
}

extension EventLog {
    /// The position that `start` means now.
    ///
    /// A given position must fit the topic's partitions; offsets that retention has removed move up to the oldest record,
    /// offsets beyond the end are `LogError.offsetOutOfRange`.
    package func position(of topic: String, at start: LogStart) async throws -> LogPosition {
        let count: Int = try self.topics.definition(topic).partitions
        if case .position(let given) = start, given.offsets.count != count {
            throw LogError.invalidPosition(given.text)
        }
        var offsets: [Int64] = []
        for partition: Int in 0..<count {
            offsets.append(try await self.offset(topic: topic, partition: partition, at: start))
        }
        return LogPosition(offsets: offsets)
    }

    private func offset(topic: String, partition: Int, at start: LogStart) async throws -> Int64 {
        let available: Range<Int64> = try self.offsets(topic: topic, partition: partition)
        switch start {
        case .earliest: return available.lowerBound
        case .latest: return available.upperBound
        case .time(let time): return try await self.offset(topic: topic, partition: partition, at: time)
        case .position(let given):
            let offset: Int64 = given.offsets[partition]
            let present: Range<Int64> = try await self.range(try self.topics.slot(topic, partition), knowing: offset)
            guard offset <= present.upperBound else {
                throw LogError.offsetOutOfRange(
                    topic: topic, partition: partition, offset: offset, earliest: present.lowerBound,
                    next: present.upperBound)
            }
            return max(offset, present.lowerBound)
        }
    }
}
