package analysis

import (
	"regexp"
	"strings"
)

// classify fills in what the rules ask of a function. It needs to know the
// application's packages.
func (a apps) classify(f *fn) {
	f.origin = a.originOf(f)
	f.source = sourceOf(f)
	classifyServer(f)
	if isIOFunc(f) {
		f.flags |= isIO
	}
	if f.pkg == "runtime" || f.pkg == "" {
		if allocs.MatchString(f.sym) {
			f.flags |= isAlloc
		}
		if gcRoots.MatchString(f.sym) {
			f.flags |= isGCRoot
		}
	}
	if loggers.MatchString(f.pkg) || f.origin != originStd && strings.Contains(f.pkg, "log") && logPackage.MatchString(f.pkg) {
		f.flags |= isLogging
	}
	f.category = a.categoryOf(f)
	if (f.pkg == "runtime" || f.pkg == "" || f.pkg == "internal/bytealg") && borrowed.MatchString(f.name) {
		f.flags |= isBorrowed
	}
	if f.origin == originApp || f.origin == originThird {
		f.codec, f.dir = generatedCodec(f)
	}
	if f.codec == nil {
		if c := codecOf(f.pkg); c != nil && !notCodec.MatchString(f.sym) {
			f.codec, f.dir = c, c.always
			if f.dir == noWay {
				f.dir = direction(f.sym)
			}
		}
	}
	if f.pkg == "encoding/binary" && f.last != "Read" && f.last != "Write" && f.last != "Decode" && f.last != "Encode" {
		f.codec = nil // ByteOrder's methods are loads and stores; only the reflecting ones are a codec
	}
	f.squeeze = compressorOf(f.pkg)
	if (under(f.pkg, "io") || f.pkg == "bytes") && carriers.MatchString(f.name) {
		f.flags |= isCarrier
	}
	if suspected(f) {
		f.flags |= isSuspect
	}
	if f.origin == originApp && cacheName.MatchString(f.sym) {
		f.flags |= isCacheName
	}
	switch {
	case f.codec != nil && f.dir == decode:
		f.category = CatDecode
	case f.codec != nil && f.dir == encode:
		f.category = CatEncode
	}
}

var (
	// allocs: malloc by prefix, since Go 1.26 has size-specialized variants.
	allocs = regexp.MustCompile(`^(mallocgc|newobject|newarray|growslice|makeslice|makemap|gcAssist|deductAssistCredit|rawstring|rawbyteslice|slicebytetostring|stringtoslicebyte|concatstring|newstack|bulkBarrierPreWrite|gcWriteBarrier)`)
	// gcRoots start goroutines or system-stack work of the collector.
	gcRoots = regexp.MustCompile(`^(gcBgMarkWorker|bgsweep|bgscavenge|gcDrain|gcMarkDone|gcStart|\(\*gcWork\)|gcController|markroot|scanobject|scanSpan|scanObject|sweepone)`)
	// gcWork is what the collector's frames look like wherever they occur,
	// with the names of Go 1.26's Green Tea collector.
	gcWork  = regexp.MustCompile(`^(gc[A-Z]|bgsweep|bgscavenge|markroot|scan(object|Object|Span|block|stack)|greyobject|tryDeferToSpanScan|sweep|\(\*(sweepLocked|gcWork|mspan|mheap|mcache|mcentral|pageAlloc|spanQueue|spanInlineMarkBits|gcControllerState|limiterEvent)\)|wbBuf|shade|mallocgc|newobject|newarray|growslice|makeslice|deductAssist|nextFreeFast|publicationBarrier|heapBits|heapSet|memclrNoHeapPointersChunked|bulkBarrier|\(\*wbBuf\))`)
	loggers = regexp.MustCompile(`^(log|log/slog|go\.uber\.org/zap.*|github\.com/rs/zerolog.*|github\.com/sirupsen/logrus.*|github\.com/go-kit/log.*|k8s\.io/klog.*|github\.com/hashicorp/go-hclog.*|github\.com/charmbracelet/log.*|github\.com/phuslu/log.*)$`)

	// borrowed are leaves that do their caller's work: what the compiler calls
	// for a copy or a comparison, and the frame on which a profiling signal
	// finds a goroutine that is being preempted.
	borrowed = regexp.MustCompile(`^(runtime\.(asyncPreempt2?|memmove|memclrNoHeapPointers|memequal\w*|memhash\w*|strhash\w*|duff(copy|zero))|memeqbody|cmpbody|indexbody|indexbytebody|countbody|aeshashbody|internal/bytealg\.\w+)$`)

	// logPackage matches packages of which the path says that they log:
	// interceptors that encode requests and replies for the log.
	logPackage = regexp.MustCompile(`(^|/)(log|logs|logger|logging|[a-z]*logrus|[a-z]*zap)(/|$)`)

	ioReceivers = regexp.MustCompile(`^\(\*(conn|TCPConn|UnixConn|netFD|body|bodyLocked|chunkWriter|checkConnErrorWriter|connReader|persistConn|bodyEOFSignal|http2requestBody|http2serverConn|http2responseWriter|http2ClientConn|persistConnWriter|Conn|FD|File)\)\.`)
	ioPackages  = regexp.MustCompile(`^(internal/poll|syscall|internal/syscall/.*|internal/runtime/syscall.*|runtime/internal/syscall|golang\.org/x/sys/.*|vendor/golang\.org/x/sys/.*)$`)
)

// isIOFunc reports whether a sample below this function is I/O even inside a
// codec: json.Encoder.Encode writes to the socket when its buffer is full.
func isIOFunc(f *fn) bool {
	switch {
	case ioPackages.MatchString(f.pkg):
		return true
	case f.pkg == "net", f.pkg == "net/http", f.pkg == "crypto/tls", f.pkg == "os":
		return ioReceivers.MatchString(f.sym) && !servesAll.MatchString(f.sym)
	case under(f.pkg, "github.com/valyala/fasthttp"):
		return fasthttpIO.MatchString(f.sym)
	case under(f.pkg, "google.golang.org/grpc/internal/transport"), under(f.pkg, "golang.org/x/net/http2"), under(f.pkg, "github.com/cloudwego/netpoll"):
		return true
	}
	return false
}

// servesAll are the loops that everything else runs under.
var servesAll = regexp.MustCompile(`\)\.(serve|runHandler|processFrame|readLoop|writeLoop)`)

var fasthttpIO = regexp.MustCompile(`^(writeBody|readBody|\(\*bodyStream|\(\*requestStream|writeChunk|\(\*statsWriter|copyZeroAlloc)`)

func (a apps) categoryOf(f *fn) Category {
	switch {
	case f.pkg == "" || f.pkg == "runtime" || under(f.pkg, "internal/runtime") || under(f.pkg, "runtime/internal"):
		if ioPackages.MatchString(f.pkg) {
			return CatIO
		}
		if f.pkg == "internal/runtime/gc/scan" || under(f.pkg, "internal/runtime/gc") || gcWork.MatchString(f.sym) {
			return CatGC
		}
		return CatRuntime
	case f.origin == originApp:
		return CatApp
	case compressorOf(f.pkg) != nil:
		return CatCompress
	case storeOf(f.pkg) != nil:
		return CatStore
	case f.has(isIO):
		return CatIO
	case f.pkg == "net" || under(f.pkg, "golang.org/x/net") || under(f.pkg, "internal/poll") || under(f.pkg, "google.golang.org/grpc/internal/transport"):
		return CatIO
	case under(f.pkg, "crypto") || under(f.pkg, "golang.org/x/crypto") || under(f.pkg, "vendor/golang.org/x/crypto") || under(f.pkg, "internal/fips140"):
		return CatCrypto
	}
	return CatLibrary
}

// spent is what one stack was spent on.
type spent struct {
	codec     *codec
	suspected *fn
	gist
}

// gist is what a stack keeps of it: there may be hundreds of thousands.
type gist struct {
	entry   int32 // index of the codec's entry frame; -1 for none
	dir     way
	io      bool
	alloc   bool
	logging bool
}

// work finds out what attributed stacks were doing.
func work(t *paths, lists ...[]stack) {
	var fs []frame
	for s := range each(lists) {
		fs = t.path(s.node, fs)
		s.work = workOf(fs, s.from()).gist
	}
}

// from is the index of the frame from which on a stack works for its endpoint.
func (s *stack) from() int {
	if s.end == nil {
		return 0
	}
	return int(s.handler)
}

// workOf classifies a stack from its endpoint's handler on: the outermost
// codec frame is the entry and everything below belongs to it, except I/O and
// compression, which are called by the codec but are not its work.
func workOf(fs []frame, from int) (w spent) {
	w.entry = -1
	defer func() {
		if w.codec != nil {
			w.suspected = nil // it calls a codec that was counted
		}
	}()
	for i := from; i < len(fs); i++ {
		f := fs[i].fn
		switch {
		case f.has(isLogging):
			w.logging = true
		case f.has(isIO):
			w.io = true
		}
		if f.has(isAlloc) {
			w.alloc = true
		}
		if f.squeeze != nil && w.dir != compress && w.dir != decompress {
			w.entry, w.codec, w.dir = int32(i), f.squeeze, compression(f)
		}
		if w.entry < 0 && !w.logging && f.codec != nil {
			if dir := entryDirection(fs, i); dir != noWay {
				w.entry, w.codec, w.dir = int32(i), f.codec, dir
			}
		}
		if w.suspected == nil && w.entry < 0 && f.has(isSuspect) {
			w.suspected = f
		}
	}
	return w
}

// entryDirection asks the entry, then the codec's frames below it.
func entryDirection(fs []frame, i int) way {
	c := fs[i].fn.codec
	for ; i < len(fs) && fs[i].fn.codec == c; i++ {
		if d := fs[i].fn.dir; d != noWay {
			return d
		}
	}
	return noWay
}

var decompresses = regexp.MustCompile(`(?i)decod|decomp|uncompress|inflat|read|reset`)

func compression(f *fn) way {
	if decompresses.MatchString(f.sym) {
		return decompress
	}
	return compress
}

// way is a [Direction] in one byte.
type way uint8

const (
	noWay way = iota
	decode
	encode
	compress
	decompress
)

func (w way) direction() Direction {
	return [...]Direction{"", Decode, Encode, Compress, Decompress}[w]
}
