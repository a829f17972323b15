package kubetest

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/watch"
)

// stream sends the frames of one watch.
type stream struct {
	s     *Server
	w     http.ResponseWriter
	info  runtime.SerializerInfo
	match func(*corev1.Pod) bool
}

func (s *Server) watch(w http.ResponseWriter, r *http.Request, q request) {
	match, err := selects(r, q)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	query := r.URL.Query()
	initial := query.Get("sendInitialEvents") == "true"
	if initial && s.opt.OldServer {
		s.fail(w, r, apierrors.NewInvalid(schema.GroupKind{Group: "meta.k8s.io", Kind: "ListOptions"}, "", field.ErrorList{
			field.Forbidden(field.NewPath("sendInitialEvents"), "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"),
		}))
		return
	}
	var end <-chan time.Time
	if n, _ := strconv.Atoi(query.Get("timeoutSeconds")); n > 0 {
		t := time.NewTimer(time.Duration(n) * time.Second)
		defer t.Stop()
		end = t.C
	}
	out := &stream{s: s, w: w, info: s.mediaType(r), match: match}
	kind := out.info.MediaType
	if kind != runtime.ContentTypeJSON {
		kind += ";stream=watch"
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(http.StatusOK)
	flush(w)

	s.mu.Lock()
	cut := s.cut
	s.watches++
	s.begun++
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.watches--
	}()
	from, _ := strconv.ParseInt(query.Get("resourceVersion"), 10, 64)
	var frames []frame
	if initial || from == 0 {
		from = s.rv
		for _, p := range s.pods {
			if match(p) {
				frames = append(frames, frame{watch.Added, p})
			}
		}
	}
	gone := from < s.oldest
	oldest := s.oldest
	s.mu.Unlock()
	if gone {
		out.send(frame{watch.Error, expired(from, oldest)})
		return
	}
	if initial {
		frames = append(frames, bookmark(from, true))
	}
	ending := false
	for {
		for _, f := range frames {
			if !out.send(f) {
				return
			}
		}
		frames = nil
		s.mu.Lock()
		changed := s.changed
		for _, e := range s.history {
			if e.rv > from {
				frames = append(frames, out.frames(e, query.Get("allowWatchBookmarks") == "true")...)
				from = e.rv
			}
		}
		s.mu.Unlock()
		if len(frames) > 0 {
			continue
		}
		select {
		case <-changed:
		case <-cut:
			if ending {
				return
			}
			ending = true // what has happened is sent before
		case <-end:
			return
		case <-r.Context().Done():
			return
		}
	}
}

type frame struct {
	kind watch.EventType
	obj  runtime.Object
}

func bookmark(rv int64, end bool) frame {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: strconv.FormatInt(rv, 10)}}
	if end {
		p.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	}
	return frame{watch.Bookmark, p}
}

// frames are what an event is to somebody who sees only what he selects.
func (o *stream) frames(e event, bookmarks bool) []frame {
	if e.old == nil && e.pod == nil {
		if bookmarks {
			return []frame{bookmark(e.rv, false)}
		}
		return nil
	}
	was, is := o.match(e.old), o.match(e.pod)
	switch {
	case was && is && e.old.UID != e.pod.UID:
		return []frame{{watch.Deleted, at(e.old, e.rv)}, {watch.Added, e.pod}}
	case was && is:
		return []frame{{watch.Modified, e.pod}}
	case is:
		return []frame{{watch.Added, e.pod}}
	case was:
		return []frame{{watch.Deleted, at(e.old, e.rv)}}
	}
	return nil
}

// at is a pod as the watch that sees it go is told of it.
func at(p *corev1.Pod, rv int64) *corev1.Pod {
	p = p.DeepCopy()
	p.ResourceVersion = strconv.FormatInt(rv, 10)
	return p
}

// send is false when the client is gone.
func (o *stream) send(f frame) bool {
	encoder := o.s.codecs.EncoderForVersion(o.info.StreamSerializer.Serializer, corev1.SchemeGroupVersion)
	inner := encoder
	if !strings.HasSuffix(o.info.MediaType, "json") {
		inner = o.s.codecs.EncoderForVersion(o.info.Serializer, corev1.SchemeGroupVersion)
	}
	if p, ok := f.obj.(*corev1.Pod); ok {
		f.obj = shallow(p)
	}
	data, err := runtime.Encode(inner, f.obj)
	if err != nil {
		return false
	}
	e := &metav1.WatchEvent{Type: string(f.kind), Object: runtime.RawExtension{Raw: data}}
	framed := o.info.StreamSerializer.Framer.NewFrameWriter(o.w)
	if err := encoder.Encode(e, framed); err != nil {
		return false
	}
	flush(o.w)
	return true
}

// flush does what it can: a client that is gone shows elsewhere.
func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }
