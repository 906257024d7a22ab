import Documents
import OpenAPI

/// What libFuzzer calls with every input: reads it as an OpenAPI document and checks what must hold for any text.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOpenAPI(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes: [UInt8] = Array(UnsafeBufferPointer(start: data, count: count))
    do {
        let document: OpenAPIDocument = try OpenAPIDocument.read(bytes)
        precondition(!document.title.isEmpty, "a valid document has a title")
        for operation: OpenAPIOperation in document.operations {
            precondition(operation.path.hasPrefix("/"), "a path begins with a slash")
        }
    } catch {
        precondition(!error.problems.isEmpty, "a document is refused for a reason")
        for problem: Problem in error.problems {
            precondition(problem.line >= 1 && problem.column >= 1, "a problem has a place")
        }
    }
    return 0
}
