import Bytes
import EventLog
import JSON
import Time

/// A record of the log as REST shows it.
enum EventRecord {
    /// - Parameter withPlace: also partition and offset, which count the records of all tenants.
    static func json(_ record: Record, withPlace: Bool) -> JSONValue {
        var object: JSONObject = [:]
        if let id: String = record.eventID { object["id"] = .string(id) }
        object["topic"] = .string(record.topic)
        if withPlace {
            object["partition"] = .int(Int64(record.partition))
            object["offset"] = .int(record.offset)
        }
        object["time"] = .string(record.timestamp.rfc3339)
        for (name, value) in [
            ("type", record.eventType), ("key", record.keyText), ("tenant", record.tenant), ("actor", record.actor),
            ("traceparent", record.traceparent),
        ] {
            if let value: String { object[name] = .string(value) }
        }
        if record.isTombstone {
            object["value"] = .null
        } else if let value: JSONValue = try? JSONReader.parse(record.value) {
            object["value"] = value
        } else {
            object["value_base64"] = .string(Base64.encode(record.value))
        }
        return .object(object)
    }
}
