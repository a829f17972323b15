package slackbot

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"github.com/profbot/profbot/internal/incident"
	"github.com/profbot/profbot/internal/slackbot/command"
	"github.com/profbot/profbot/internal/slackbot/receive"
)

// Ids of the form: of its blocks, and of the elements in them.
const (
	callbackForm = "desk:form"
	blockService = "service"
	blockKinds   = "kinds"
	blockSeconds = "seconds"
	blockPods    = "pods"
	blockPod     = "pod"

	// ActionService is the menu of services, which asks for its options while
	// somebody types.
	ActionService = "desk:service"
	actionKinds   = "desk:kinds"
	actionNumber  = "desk:number"
	actionPod     = "desk:pod"
)

// Limits of a view (docs.slack.dev/reference/block-kit and /surfaces/modals).
const (
	maxViewTitle  = 24
	maxOptions    = 100
	maxOptionText = 75
	maxOption     = 150 // characters of an option's value
	maxPodName    = 253 // of Kubernetes
)

var formKinds = []incident.Kind{
	incident.KindCPU, incident.KindHeap, incident.KindAllocsAfter, incident.KindGoroutine, incident.KindMutex, incident.KindBlock,
}

// viewPlace is what a form remembers of where it was opened.
type viewPlace struct {
	Channel string `json:"channel,omitempty"`
	Thread  string `json:"thread,omitempty"`
}

func readPlace(private string) (p viewPlace) {
	_ = json.Unmarshal([]byte(private), &p) // what is none says nothing
	return p
}

// viewErrors is the answer to a form whose fields are wrong: by block.
type viewErrors map[string]string

// MarshalJSON writes Slack's form of it.
func (e viewErrors) MarshalJSON() ([]byte, error) {
	short := map[string]string{}
	for k, v := range e {
		short[k] = clean(v, 500)
	}
	return json.Marshal(map[string]any{"response_action": slack.RAErrors, "errors": short})
}

// form opens the form. There are three seconds for it.
func (t *talk) form(ctx context.Context, at incident.Place) error {
	known, err := t.back.Services(ctx)
	if err != nil {
		return fmt.Errorf("profbot does not know its services at the moment: %w", err)
	}
	if len(known) == 0 {
		_, err := pick(known, "", "")
		return err
	}
	err = t.open(ctx, t.renderForm(known, at))
	switch code(err) {
	case "expired_trigger_id", "trigger_expired", "exchanged_trigger_id", "trigger_exchanged":
		return fmt.Errorf("the form took too long to open: try again, or type it: /profbot cpu %s 30s", known[0].Service)
	}
	return err
}

func (d *Desk) renderForm(known []Known, at incident.Place) slack.ModalViewRequest {
	private, _ := json.Marshal(viewPlace{at.Channel, at.Thread}) // two strings
	service := slack.NewOptionsSelectBlockElement(slack.OptTypeStatic, plainText("Type the beginning of a name", 150), ActionService, serviceOptions(known, "")...)
	if len(known) > maxOptions {
		service = slack.NewOptionsSelectBlockElement(slack.OptTypeExternal, plainText("Type the beginning of a name", 150), ActionService)
		service.MinQueryLength = new(0)
	}
	var kinds []*slack.OptionBlockObject
	for _, k := range formKinds {
		kinds = append(kinds, slack.NewOptionBlockObject(string(k), plainText(k.Profile(), maxOptionText), nil))
	}
	boxes := slack.NewCheckboxGroupsBlockElement(actionKinds, kinds...)
	boxes.InitialOptions = kinds[:1]
	input := func(block, label, hint string, e slack.BlockElement) *slack.InputBlock {
		var h *slack.TextBlockObject
		if hint != "" {
			h = plainText(hint, 2000)
		}
		return slack.NewInputBlock(block, plainText(label, 2000), h, e)
	}
	number := func(initial, most int) *slack.NumberInputBlockElement {
		e := slack.NewNumberInputBlockElement(nil, actionNumber, false)
		e.InitialValue, e.MinValue, e.MaxValue = strconv.Itoa(min(initial, most)), "1", strconv.Itoa(most)
		return e
	}
	pod := slack.NewPlainTextInputBlockElement(plainText("the hottest", 150), actionPod)
	pod.MaxLength = maxPodName
	return slack.ModalViewRequest{
		Type: slack.VTModal, CallbackID: callbackForm, PrivateMetadata: string(private),
		Title: plainText("Profile a service", maxViewTitle), Submit: plainText("Profile", maxViewTitle), Close: plainText("Cancel", maxViewTitle),
		Blocks: slack.Blocks{BlockSet: []slack.Block{
			input(blockService, "Service", "", service),
			input(blockKinds, "Profiles", "", boxes),
			input(blockSeconds, "Seconds", "How long a CPU profile takes, or how far two snapshots are apart", number(int(d.opt.Window.Seconds()), int(command.MaxWindow/time.Second))),
			input(blockPods, "Pods", "How many, the hottest first", number(d.opt.Pods, command.MaxPods)),
			input(blockPod, "Only this pod", "", pod).WithOptional(true),
		}},
	}
}

// serviceOptions are the services that fit what was typed; those whose names
// begin with it first.
func serviceOptions(known []Known, typed string) []*slack.OptionBlockObject {
	typed = strings.ToLower(strings.TrimSpace(typed))
	var begin, within []*slack.OptionBlockObject
	for _, k := range known {
		value := k.Service + " " + k.Env // a tag holds no space
		low := strings.ToLower(k.Service)
		if len([]rune(value)) > maxOption || !strings.Contains(low, typed) {
			continue
		}
		o := slack.NewOptionBlockObject(value, plainText(serviceName(k.Service, k.Env), maxOptionText), nil)
		if strings.HasPrefix(low, typed) {
			begin = append(begin, o)
		} else {
			within = append(within, o)
		}
	}
	all := append(begin, within...)
	return all[:min(len(all), maxOptions)]
}

// options is the answer of a menu that asks.
type options struct {
	Options []*slack.OptionBlockObject `json:"options"`
}

var noOptions = options{[]*slack.OptionBlockObject{}}

// suggest lists services while a person types. It is no deed.
func (t *talk) suggest(ctx context.Context) {
	out := noOptions
	if t.r.Action == ActionService && t.member(ctx, t.r) == nil {
		known, err := t.back.Services(ctx)
		if err != nil {
			t.log.WarnContext(ctx, "no services to suggest", "error", err)
		} else if found := serviceOptions(known, t.r.Value); len(found) > 0 {
			out = options{found}
		}
	}
	t.put(out)
}

// submit does what the form says. What is wrong is said at its fields.
func (t *talk) submit(ctx context.Context) {
	v := t.r.View
	if v == nil || v.Callback != callbackForm {
		t.put(nil) // closes whatever it was
		return
	}
	o, wrong := readForm(v)
	if len(wrong) > 0 {
		t.put(wrong)
		return
	}
	var res result
	err := t.member(ctx, t.r)
	if err == nil {
		var k Known
		if k, err = t.service(ctx, o.Service, o.Env); err == nil {
			res, err = t.place(ctx, k, o)
		}
	}
	t.note(ctx, o.words(), res, err)
	if err != nil {
		if !t.put(viewErrors{blockService: err.Error()}) {
			t.answer(ctx, trouble(err), true)
		}
		return
	}
	t.answer(ctx, res.msg, false)
}

// readForm is the order that a form holds, or what is wrong by block.
func readForm(v *receive.View) (order, viewErrors) {
	var o order
	wrong := viewErrors{}
	o.Service, o.Env, _ = strings.Cut(v.Value(blockService, ActionService), " ")
	if o.Service == "" {
		wrong[blockService] = "Choose a service."
	}
	for _, k := range v.Values[blockKinds][actionKinds] {
		if slices.Contains(formKinds, incident.Kind(k)) {
			o.Kinds = append(o.Kinds, incident.Kind(k))
		}
	}
	if len(o.Kinds) == 0 {
		wrong[blockKinds] = "Choose at least one profile."
	}
	number := func(block string, most int) int {
		n, err := strconv.Atoi(cmp.Or(v.Value(block, actionNumber), "0"))
		if err != nil || n < 1 || n > most {
			wrong[block] = fmt.Sprintf("Write a whole number from 1 to %d.", most)
		}
		return n
	}
	o.Window = time.Duration(number(blockSeconds, int(command.MaxWindow/time.Second))) * time.Second
	o.Pods = number(blockPods, command.MaxPods)
	o.Pod = strings.TrimSpace(v.Value(blockPod, actionPod))
	if strings.ContainsAny(o.Pod, " \t\r\n") || len(o.Pod) > maxPodName {
		wrong[blockPod] = "Write the name of one pod, or nothing."
	}
	return o, wrong
}

// notice is a modal that says something.
func notice(title string, m Message) slack.ModalViewRequest {
	return slack.ModalViewRequest{
		Type: slack.VTModal, Title: plainText(title, maxViewTitle), Close: plainText("Close", maxViewTitle), Blocks: slack.Blocks{BlockSet: m.Blocks},
	}
}

// viewNotice is the answer to a form that puts a notice in its place.
func viewNotice(title string, m Message) *slack.ViewSubmissionResponse {
	v := notice(title, m)
	return slack.NewUpdateViewSubmissionResponse(&v)
}
