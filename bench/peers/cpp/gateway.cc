// An aggregator with gRPC's callback API for C++, as its documentation shows one: a reactor for the request, a callback
// for each of two calls that run together, and the reply when both have ended.
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>

#include "fanout/country/v1/country.grpc.pb.h"
#include "fanout/gateway/v1/gateway.grpc.pb.h"
#include "fanout/user/v1/user.grpc.pb.h"

namespace country = fanout::country::v1;
namespace gateway = fanout::gateway::v1;
namespace user = fanout::user::v1;

// The two calls of a request. It deletes itself when both have ended.
class Profile {
 public:
  Profile(const grpc::CallbackServerContext& context, grpc::ServerUnaryReactor* reactor,
          const gateway::GetProfileRequest& request, gateway::GetProfileResponse* reply)
      : reactor_(reactor), reply_(reply) {
    user_context_.set_deadline(context.deadline());
    country_context_.set_deadline(context.deadline());
    user_request_.set_user_id(request.user_id());
  }

  void Start(user::UserService::Stub& users, country::CountryService::Stub& countries) {
    users.async()->GetUser(&user_context_, &user_request_, reply_->mutable_user(),
                           [this](grpc::Status status) { Ended(std::move(status)); });
    countries.async()->ListCountries(&country_context_, &country_request_, reply_->mutable_country_list(),
                                     [this](grpc::Status status) { Ended(std::move(status)); });
  }

 private:
  void Ended(grpc::Status status) {
    if (!status.ok()) {
      std::lock_guard<std::mutex> lock(mutex_);
      status_ = std::move(status);
    }
    if (--running_ == 0) {
      reactor_->Finish(status_);
      delete this;
    }
  }

  grpc::ServerUnaryReactor* reactor_;
  gateway::GetProfileResponse* reply_;
  grpc::ClientContext user_context_, country_context_;
  user::GetUserRequest user_request_;
  country::ListCountriesRequest country_request_;
  std::mutex mutex_;
  grpc::Status status_;
  std::atomic<int> running_{2};
};

class Gateway final : public gateway::GatewayService::CallbackService {
 public:
  Gateway(std::shared_ptr<grpc::Channel> users, std::shared_ptr<grpc::Channel> countries)
      : users_(user::UserService::NewStub(users)), countries_(country::CountryService::NewStub(countries)) {}

  grpc::ServerUnaryReactor* GetProfile(grpc::CallbackServerContext* context,
                                       const gateway::GetProfileRequest* request,
                                       gateway::GetProfileResponse* reply) override {
    auto* reactor = context->DefaultReactor();
    (new Profile(*context, reactor, *request, reply))->Start(*users_, *countries_);
    return reactor;
  }

 private:
  std::unique_ptr<user::UserService::Stub> users_;
  std::unique_ptr<country::CountryService::Stub> countries_;
};

int main() {
  auto channel = [](const char* variable) {
    return grpc::CreateChannel(std::getenv(variable), grpc::InsecureChannelCredentials());
  };
  Gateway service(channel("USER_SERVICE"), channel("COUNTRY_SERVICE"));
  grpc::ServerBuilder builder;
  builder.AddListeningPort(std::getenv("LISTEN"), grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  builder.BuildAndStart()->Wait();
}
