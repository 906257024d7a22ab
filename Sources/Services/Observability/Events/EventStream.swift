import EventLog
import HTTP
import JSON
import Time

/// A topic as server-sent events: each record one event whose id is the cursor behind it.
///
/// At the client's pace: nothing is read from the log before what was read has been taken.
struct EventStream: Sendable {
    /// A quiet stream shows its position that often, so that proxies keep it and a client that reconnects loses nothing.
    static let heartbeat: Duration = .seconds(15)
    /// Longest life of a stream. Clients reconnect by themselves, and are authorised anew.
    static let lifetime: Duration = .seconds(300)
    static let pageRecords: Int = 200

    let log: EventLog
    let cursors: EventCursor
    let topic: String
    /// nil for all tenants.
    let tenant: String?
    let clock: any WallClock

    /// Writes until the client goes, the lifetime ends, or the server drains.
    func run(from start: LogPosition, to writer: ResponseWriter) async throws {
        var position: LogPosition = start
        let end: UInt64 = self.clock.monotonic() &+ UInt64(clamping: Self.lifetime.nanosecondsClamped)
        try await self.writePosition(position, to: writer)
        while !Task.isCancelled, self.clock.monotonic() < end {
            let page: TailPage = try await self.log.tail(
                topic: self.topic, from: position, tenant: self.tenant, maxRecords: Self.pageRecords,
                wait: Self.heartbeat)
            var bytes: [UInt8] = []
            for record in page.records {
                var offsets: [Int64] = position.offsets
                offsets[record.partition] = record.offset + 1
                position = LogPosition(offsets: offsets)
                let cursor: String = try self.cursors.seal(position, topic: self.topic, tenant: self.tenant)
                let data: String = EventRecord.json(record, withPlace: self.tenant == nil).jsonText
                bytes.append(contentsOf: ServerSentEvent(id: cursor, data: data).encoded)
            }
            position = page.position
            if bytes.isEmpty {
                try await self.writePosition(position, to: writer)
            } else {
                try await writer.write(bytes)
            }
        }
    }

    /// An event without data: clients keep its id and show nothing.
    private func writePosition(_ position: LogPosition, to writer: ResponseWriter) async throws {
        let cursor: String = try self.cursors.seal(position, topic: self.topic, tenant: self.tenant)
        try await writer.write("id: \(cursor)\n\n")
    }
}
