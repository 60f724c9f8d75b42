package sns

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

var otherThanName = regexp.MustCompile(`[^A-Za-z0-9_.-]`)

func checkAttributes(all map[string]types.MessageAttributeValue) error {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := checkAttribute(name, all[name]); err != nil {
			return err
		}
	}
	return nil
}

// checkAttribute refuses a message attribute as AWS does.
func checkAttribute(name string, v types.MessageAttributeValue) error {
	kind, label, labelled := strings.Cut(aws.ToString(v.DataType), ".")
	why := ""
	switch other := otherThanName.FindString(name); {
	case len(name) > 256:
		why = "Length of message attribute name must be less than 256 bytes."
	case other != "":
		why = fmt.Sprintf("Invalid non-alphanumeric character '#x%X' was found in the message attribute name. Can only include alphanumeric characters, hyphens, underscores, or dots.", []rune(other)[0])
	case strings.HasPrefix(name, "."):
		why = "Invalid message attribute name starting with character '.' was found."
	case strings.HasSuffix(name, "."):
		why = "Invalid message attribute name ending with character '.' was found."
	case strings.Contains(name, ".."):
		why = "Message attribute name can not have successive '.' character."
	case kind != "String" && kind != "Number" && kind != "Binary", labelled && label == "":
		why = "The message attribute '" + name + "' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String."
	case kind == "Binary" && aws.ToString(v.StringValue) != "":
		why = "The message attribute '" + name + "' with type 'Binary' must use field 'Binary'."
	case kind != "Binary" && len(v.BinaryValue) > 0:
		why = "The message attribute '" + name + "' with type '" + *v.DataType + "' must use field 'String'."
	case aws.ToString(v.StringValue) == "" && len(v.BinaryValue) == 0:
		why = "The message attribute '" + name + "' must contain non-empty message attribute value for message attribute type '" + *v.DataType + "'."
	default:
		return nil
	}
	return wire.Errorf("ParameterValueInvalid", "%s", why)
}
