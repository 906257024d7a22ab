import Crypto
import Documents
package import JSON

/// A document with its version and hash, changed entry by entry: what the control plane keeps for a target, and what a gateway
/// keeps of what it was sent.
///
/// Entries are kept in order of key, so two sides that hold the same entries hold the same document. An entry this version
/// cannot read (a newer control plane may send one) still counts in the hash; it is named in `unreadable` and otherwise left
/// out. Not thread-safe; a value.
package struct HashedDocument: Sendable {
    /// Counts up with every change at its source.
    package private(set) var version: Int64
    /// In order of key.
    package private(set) var document: GatewayDocument
    /// Entries that could not be read, by kind and key.
    package private(set) var unreadable: [UnreadableEntry] = []
    private var digest: DocumentDigest = DocumentDigest()
    /// Entries that were sent in another form than this version writes: kept as they came, because the hash is that of the form.
    private var formsSent: [EntryKind: [EntryKey: JSONValue]] = [:]
    /// What the references of APIs stand for. In memory only: forms and hash hold the references.
    package private(set) var secrets: [EntryKey: EntrySecrets] = [:]

    /// An empty document of version 0.
    package init() {
        self.version = 0
        self.document = GatewayDocument()
    }

    /// Takes a document; of entries with the same key the last one stays.
    package init(_ document: GatewayDocument, version: Int64) {
        self.init()
        self.version = version
        for api in document.apis { self.set(api) }
        for application in document.applications { self.set(application) }
        for plan in document.plans { self.set(plan) }
    }

    /// 64 hexadecimal digits; see `DocumentDigest`.
    package var hash: String { self.digest.text }

    // MARK: Changing

    /// Moves on to the next version. Changes since the last call belong to it.
    package mutating func advance(to version: Int64) {
        precondition(version > self.version)
        self.version = version
    }

    /// For a document that was received: any version.
    mutating func setVersion(_ version: Int64) {
        self.version = version
    }

    package mutating func set(_ api: APIDefinition) { self.set(api, form: nil) }

    package mutating func set(_ application: ApplicationDefinition) { self.set(application, form: nil) }

    package mutating func set(_ plan: PlanDefinition) { self.set(plan, form: nil) }

    private mutating func set(_ api: APIDefinition, form: JSONValue?) {
        self.forget(.api, api.key)
        EntryList.set(api, key: api.key, in: &self.document.apis) { $0.key }
        self.note(.api, api.key, own: api.json(), form: form)
    }

    private mutating func set(_ application: ApplicationDefinition, form: JSONValue?) {
        self.forget(.application, application.key)
        EntryList.set(application, key: application.key, in: &self.document.applications) { $0.key }
        self.note(.application, application.key, own: application.json(), form: form)
    }

    private mutating func set(_ plan: PlanDefinition, form: JSONValue?) {
        self.forget(.plan, plan.key)
        EntryList.set(plan, key: plan.key, in: &self.document.plans) { $0.key }
        self.note(.plan, plan.key, own: plan.json(), form: form)
    }

    /// The hash is that of the form an entry was sent in, and the form stays where it says something else than what was read.
    ///
    /// - Parameter form: nil: it is this version's own.
    private mutating func note(_ kind: EntryKind, _ key: EntryKey, own: JSONValue, form: JSONValue?) {
        let hash: [UInt8] = SHA256.hash((form ?? own).canonical())
        self.digest.set(kind, key, hash)
        // What a sender of this version wrote is equal in the order of members, too, which is quickly seen.
        guard let form, form != own, SHA256.hash(own.canonical()) != hash else { return }
        self.formsSent[kind, default: [:]][key] = form
    }

    /// Removes an entry; does nothing when there is none.
    package mutating func remove(_ kind: EntryKind, _ key: EntryKey) {
        self.forget(kind, key)
        self.removeReadable(kind, key)
        self.digest.set(kind, key, nil)
    }

    private mutating func removeReadable(_ kind: EntryKind, _ key: EntryKey) {
        switch kind {
        case .api: EntryList.remove(key, from: &self.document.apis) { $0.key }
        case .application: EntryList.remove(key, from: &self.document.applications) { $0.key }
        case .plan: EntryList.remove(key, from: &self.document.plans) { $0.key }
        }
    }

    private mutating func forget(_ kind: EntryKind, _ key: EntryKey) {
        self.formsSent[kind]?[key] = nil
        if kind == .api, !self.secrets.isEmpty { self.secrets[key] = nil }
        if self.unreadable.isEmpty { return }
        self.unreadable.removeAll { $0.kind == kind && $0.key == key }
    }

    // MARK: Receiving

    /// Takes an entry as it was sent. The hash is that of what was sent, whether it can be read or not.
    ///
    /// - Parameter secrets: what the references of an API stand for; those it misses make the entry unreadable.
    mutating func set(
        _ kind: EntryKind, sent node: Node, secrets known: [String: String] = [:]
    ) throws(SnapshotError) {
        let json: JSONValue = node.json()
        guard let id: String = json["id"]?.text, EntryRules.problem(id: id) == nil,
            let tenant: String = json["tenant"]?.text, EntryRules.problem(id: tenant) == nil
        else { throw .malformed("an entry of \(kind.rawValue) without id and tenant") }
        let key: EntryKey = EntryKey(tenant: tenant, id: id)
        let opened: (node: Node, secrets: EntrySecrets)
        do throws(InvalidDocument) {
            opened = try Self.opened(kind, key, node, json, known)
            switch kind {
            case .api: self.set(try Self.readAPI(opened.node, opened.secrets), form: json)
            case .application:
                self.set(try NodeDecoder.decode(node) { ApplicationDefinition.read($0) }, form: json)
            case .plan: self.set(try NodeDecoder.decode(node) { PlanDefinition.read($0) }, form: json)
            }
            if !opened.secrets.isEmpty { self.secrets[key] = opened.secrets }
        } catch {
            self.remove(kind, key)
            let problems: [String] = error.problems.map {
                $0.pointer.isEmpty ? $0.message : "\($0.pointer): \($0.message)"
            }
            self.unreadable.append(UnreadableEntry(kind: kind, key: key, problems: problems))
            self.formsSent[kind, default: [:]][key] = json
            self.digest.set(kind, key, SHA256.hash(json.canonical()))
        }
    }

    /// Puts in an API written with references, read with what they stand for.
    mutating func set(api json: JSONValue, secrets: EntrySecrets) throws(InvalidDocument) {
        let opened: JSONValue = SecretReference.replacing(in: json) { name, version in
            version.flatMap { secrets["\(name)@\($0)"] }
        }
        let node: Node = try GatewayDocument.parse(opened.serialized(), limits: GatewayDocument.limits)
        let api: APIDefinition = try Self.readAPI(node, secrets)
        self.set(api, form: json)
        self.secrets[api.key] = secrets
    }

    /// Reads an API; what is wrong with it is told without the values of secrets.
    private static func readAPI(_ node: Node, _ secrets: EntrySecrets) throws(InvalidDocument) -> APIDefinition {
        do throws(InvalidDocument) {
            return try NodeDecoder.decode(node) { APIDefinition.read($0) }
        } catch {
            if secrets.isEmpty { throw error }
            var problems: [Problem] = []
            for problem in error.problems {
                var message: String = problem.message
                for (reference, value) in secrets {
                    message = message.replacing(value, with: "\(SecretReference.scheme)\(reference)")
                }
                problems.append(
                    Problem(pointer: problem.pointer, line: problem.line, column: problem.column, message: message))
            }
            throw InvalidDocument(problems: problems)
        }
    }

    /// An entry with its references replaced, and what they stood for.
    private static func opened(
        _ kind: EntryKind, _ key: EntryKey, _ node: Node, _ json: JSONValue, _ known: [String: String]
    ) throws(InvalidDocument) -> (node: Node, secrets: EntrySecrets) {
        let references: Set<String> = kind == .api ? SecretReference.versioned(in: json) : []
        if references.isEmpty { return (node, [:]) }
        var secrets: EntrySecrets = [:]
        var problems: [Problem] = []
        for reference in references.sorted() {
            secrets[reference] = known["\(key.tenant)/\(reference)"]
            guard secrets[reference] == nil else { continue }
            let message: String = "\(SecretReference.scheme)\(reference) does not open at this gateway"
            problems.append(Problem(pointer: "", line: 1, column: 1, message: message))
        }
        if !problems.isEmpty { throw InvalidDocument(problems: problems) }
        let opened: JSONValue = SecretReference.replacing(in: json) { name, version in
            version.flatMap { secrets["\(name)@\($0)"] }
        }
        return (try GatewayDocument.parse(opened.serialized(), limits: GatewayDocument.limits), secrets)
    }

    // MARK: Sending

    /// The whole document with version and hash.
    package func json() -> JSONValue {
        var object: JSONObject = JSONObject()
        object.append("version", .int(self.version))
        object.append("hash", .string(self.hash))
        for kind in EntryKind.allCases {
            let entries: [JSONValue] = self.entries(kind)
            if !entries.isEmpty { object.append(kind.rawValue, .array(entries)) }
        }
        return .object(object)
    }

    /// The same as text, made entry by entry: of a large document the values take many times the room of the text.
    ///
    /// - Parameter secrets: a last member.
    package func serialized(secrets: JSONObject? = nil) -> [UInt8] {
        var text: [UInt8] = Array("{\"version\":\(self.version),\"hash\":\"\(self.hash)\"".utf8)
        for kind in EntryKind.allCases {
            var separator: String = ",\"\(kind.rawValue)\":["
            for key in self.keys(kind) {
                guard let entry: JSONValue = self.entry(kind, key) else { continue }
                text += separator.utf8
                text += entry.serialized()
                separator = ","
            }
            if separator == "," { text.append(UInt8(ascii: "]")) }
        }
        if let secrets: JSONObject {
            text += ",\"secrets\":".utf8
            text += JSONValue.object(secrets).serialized()
        }
        text.append(UInt8(ascii: "}"))
        return text
    }

    private func entries(_ kind: EntryKind) -> [JSONValue] {
        var entries: [JSONValue] = []
        for key in self.keys(kind) {
            if let entry: JSONValue = self.entry(kind, key) { entries.append(entry) }
        }
        return entries
    }

    /// What leads from `base` to this document. Compares every entry's hash: for the occasional gateway that lags behind;
    /// who changes a document knows what changed and uses `SnapshotDelta` directly.
    package func delta(from base: HashedDocument) -> SnapshotDelta {
        var delta: SnapshotDelta = SnapshotDelta(base: base.version, version: self.version, hash: self.hash)
        for kind in EntryKind.allCases {
            let own: [EntryKey] = self.keys(kind)
            for key in own where self.digest.hash(kind, key) != base.digest.hash(kind, key) {
                delta.add(kind, key, from: self)
            }
            let present: Set<EntryKey> = Set(own)
            for key in base.keys(kind) where !present.contains(key) { delta.removed[kind, default: []].append(key) }
        }
        return delta
    }

    func keys(_ kind: EntryKind) -> [EntryKey] {
        var keys: [EntryKey] = []
        switch kind {
        case .api: for api in self.document.apis { keys.append(api.key) }
        case .application: for application in self.document.applications { keys.append(application.key) }
        case .plan: for plan in self.document.plans { keys.append(plan.key) }
        }
        for entry in self.unreadable where entry.kind == kind { keys.append(entry.key) }
        return keys
    }

    /// An entry as JSON; nil when there is none.
    package func entry(_ kind: EntryKind, _ key: EntryKey) -> JSONValue? {
        if let form: JSONValue = self.formsSent[kind]?[key] { return form }
        switch kind {
        case .api: return EntryList.find(key, in: self.document.apis) { $0.key }?.json()
        case .application: return EntryList.find(key, in: self.document.applications) { $0.key }?.json()
        case .plan: return EntryList.find(key, in: self.document.plans) { $0.key }?.json()
        }
    }
}

/// An entry this version cannot read.
package struct UnreadableEntry: Sendable, Equatable {
    package let kind: EntryKind
    package let key: EntryKey
    package let problems: [String]
}

/// Lists in order of key.
private enum EntryList {
    static func place<Entry>(of key: EntryKey, in list: [Entry], _ keyOf: (Entry) -> EntryKey) -> (
        place: Int, isThere: Bool
    ) {
        var low: Int = 0
        var high: Int = list.count
        while low < high {
            let middle: Int = (low + high) / 2
            if keyOf(list[middle]) < key { low = middle + 1 } else { high = middle }
        }
        return (low, low < list.count && keyOf(list[low]) == key)
    }

    static func find<Entry>(_ key: EntryKey, in list: [Entry], _ keyOf: (Entry) -> EntryKey) -> Entry? {
        let (place, isThere): (Int, Bool) = self.place(of: key, in: list, keyOf)
        return isThere ? list[place] : nil
    }

    static func set<Entry>(_ entry: Entry, key: EntryKey, in list: inout [Entry], _ keyOf: (Entry) -> EntryKey) {
        let (place, isThere): (Int, Bool) = self.place(of: key, in: list, keyOf)
        if isThere { list[place] = entry } else { list.insert(entry, at: place) }
    }

    static func remove<Entry>(_ key: EntryKey, from list: inout [Entry], _ keyOf: (Entry) -> EntryKey) {
        let (place, isThere): (Int, Bool) = self.place(of: key, in: list, keyOf)
        if isThere { list.remove(at: place) }
    }
}
