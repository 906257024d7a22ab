import JSON

/// Changes a JSON value by pointers. What does not lead anywhere changes nothing.
enum JSONEdit {
    /// Sets a member or element; objects on the way are made, `-` or the count appends to an array.
    static func set(_ value: JSONValue, at path: ArraySlice<String>, in document: inout JSONValue) {
        guard let token: String = path.first else {
            document = value
            return
        }
        switch document {
        case .array(var elements):
            let index: Int? = token == "-" ? elements.count : JSONPointer.index(token)
            guard let index, index <= elements.count else { return }
            if index == elements.count { elements.append(.null) }
            document = .null
            self.set(value, at: path.dropFirst(), in: &elements[index])
            document = .array(elements)
        case .object(var object):
            var member: JSONValue = object[token] ?? .null
            self.set(value, at: path.dropFirst(), in: &member)
            object[token] = member
            document = .object(object)
        case .null:
            var member: JSONValue = .null
            self.set(value, at: path.dropFirst(), in: &member)
            document = .object([token: member])
        default: return
        }
    }

    /// Takes a value out; nil when there is none.
    @discardableResult
    static func remove(at path: ArraySlice<String>, in document: inout JSONValue) -> JSONValue? {
        guard let token: String = path.first else {
            let whole: JSONValue = document
            document = .null
            return whole
        }
        let isLast: Bool = path.count == 1
        switch document {
        case .array(var elements):
            guard let index: Int = JSONPointer.index(token), index < elements.count else { return nil }
            let removed: JSONValue?
            if isLast {
                removed = elements.remove(at: index)
            } else {
                removed = self.remove(at: path.dropFirst(), in: &elements[index])
            }
            document = .array(elements)
            return removed
        case .object(var object):
            guard var member: JSONValue = object[token] else { return nil }
            let removed: JSONValue?
            if isLast {
                removed = member
                object[token] = nil
            } else {
                removed = self.remove(at: path.dropFirst(), in: &member)
                object[token] = member
            }
            document = .object(object)
            return removed
        default: return nil
        }
    }

    /// Gives a member another name, where it stands; one that has the name already is replaced.
    static func rename(at path: ArraySlice<String>, to name: String, in document: inout JSONValue) {
        guard let token: String = path.first, case .object(var object) = document, var member: JSONValue = object[token]
        else {
            self.renameInArray(at: path, to: name, in: &document)
            return
        }
        if path.count > 1 {
            self.rename(at: path.dropFirst(), to: name, in: &member)
            object[token] = member
            document = .object(object)
            return
        }
        if token == name { return }
        var renamed: JSONObject = JSONObject()
        for (key, value) in object.members where key != name { renamed.append(key == token ? name : key, value) }
        document = .object(renamed)
    }

    private static func renameInArray(at path: ArraySlice<String>, to name: String, in document: inout JSONValue) {
        guard let token: String = path.first, path.count > 1, case .array(var elements) = document,
            let index: Int = JSONPointer.index(token), index < elements.count
        else { return }
        self.rename(at: path.dropFirst(), to: name, in: &elements[index])
        document = .array(elements)
    }
}
